//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
)

// rekorV1 starts Rekor v1 with what it keeps its tree in: MariaDB, and Trillian's log server and signer.
func (s *sigstore) rekorV1() error {
	if err := s.start(); err != nil {
		return err
	}
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	if err := s.database(ports[0]); err != nil {
		return err
	}
	dsn := fmt.Sprintf("lab:lab@tcp(127.0.0.1:%d)/trillian?parseTime=true&interpolateParams=true", ports[0])
	storage := []string{"--quota_system=noop", "--storage_system=mysql", "--mysql_uri=" + dsn, "--alsologtostderr"}
	if _, err := s.serve("trillian", "trillian_log_server", ports[2], "/healthz", append(storage,
		fmt.Sprintf("--rpc_endpoint=127.0.0.1:%d", ports[1]), fmt.Sprintf("--http_endpoint=127.0.0.1:%d", ports[2]))...); err != nil {
		return err
	}
	if _, err := s.serve("trillian-signer", "trillian_log_signer", ports[4], "/healthz", append(storage,
		fmt.Sprintf("--rpc_endpoint=127.0.0.1:%d", ports[3]), fmt.Sprintf("--http_endpoint=127.0.0.1:%d", ports[4]),
		"--force_master", "--sequencer_interval=100ms", "--batch_size=100")...); err != nil {
		return err
	}
	if _, err := s.serve("rekor1", "rekor-server", ports[5], "/api/v1/log", "serve",
		"--trillian_log_server.address=127.0.0.1", fmt.Sprintf("--trillian_log_server.port=%d", ports[1]),
		"--rekor_server.address=127.0.0.1", fmt.Sprintf("--port=%d", ports[5]), "--rekor_server.hostname=localhost",
		"--rekor_server.signer="+s.file("rekor1.key"), "--enable_attestation_storage", "--attestation_storage_bucket=mem://",
		"--search_index.storage_provider=mysql", "--search_index.mysql.dsn="+dsn, "--graceful-timeout=1s"); err != nil {
		return err
	}
	s.rekor1 = fmt.Sprintf("http://localhost:%d", ports[5])
	return s.materialRekor1()
}

// database starts MariaDB with Trillian's tables.
func (s *sigstore) database(port int) error {
	data := s.file("mariadb")
	// The name of a Unix socket must be short.
	short, err := os.MkdirTemp("", "assay")
	if err != nil {
		return err
	}
	s.servers = append(s.servers, remover(short))
	socket := filepath.Join(short, "s")
	args := []string{"--no-defaults", "--datadir=" + data}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	install := append(args, "--auth-root-authentication-method=normal", "--skip-test-db")
	if err := s.run("mariadb-install-db", install...); err != nil {
		return err
	}
	p, err := s.launch("mariadb", "mariadbd", append(args, "--socket="+socket, "--pid-file="+filepath.Join(short, "pid"),
		fmt.Sprintf("--port=%d", port), "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=2")...)
	if err != nil {
		return err
	}
	client := []string{"--no-defaults", "--socket=" + socket, "--user=root"}
	if err := p.await(func() error { return s.run("mariadb", append(client, "--execute=select 1")...) }); err != nil {
		return err
	}
	schema, err := os.ReadFile(filepath.Join(s.bin, "trillian.sql"))
	if err != nil {
		return err
	}
	create := "create database trillian; create user lab@'127.0.0.1' identified by 'lab'; " +
		"grant all on trillian.* to lab@'127.0.0.1'; use trillian;\n"
	return s.feed(create+string(schema), "mariadb", client...)
}

// remover removes a folder when it is closed.
type remover string

func (r remover) Close() { _ = os.RemoveAll(string(r)) } // under the system's temporary folder: nothing is lost
