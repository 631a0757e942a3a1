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
	db, err := s.database()
	if err != nil {
		return err
	}
	ports, err := freePorts(5)
	if err != nil {
		return err
	}
	dsn := db.source("trillian")
	storage := []string{"--quota_system=noop", "--storage_system=mysql", "--mysql_uri=" + dsn, "--alsologtostderr"}
	if _, err := s.serve("trillian", "trillian_log_server", ports[1], "/healthz", append(storage,
		fmt.Sprintf("--rpc_endpoint=127.0.0.1:%d", ports[0]), fmt.Sprintf("--http_endpoint=127.0.0.1:%d", ports[1]))...); err != nil {
		return err
	}
	if _, err := s.serve("trillian-signer", "trillian_log_signer", ports[3], "/healthz", append(storage,
		fmt.Sprintf("--rpc_endpoint=127.0.0.1:%d", ports[2]), fmt.Sprintf("--http_endpoint=127.0.0.1:%d", ports[3]),
		"--force_master", "--sequencer_interval=100ms", "--batch_size=100")...); err != nil {
		return err
	}
	if _, err := s.serve("rekor1", "rekor-server", ports[4], "/api/v1/log", "serve",
		"--trillian_log_server.address=127.0.0.1", fmt.Sprintf("--trillian_log_server.port=%d", ports[0]),
		"--rekor_server.address=127.0.0.1", fmt.Sprintf("--port=%d", ports[4]), "--rekor_server.hostname=localhost",
		"--rekor_server.signer="+s.file("rekor1.key"), "--enable_attestation_storage", "--attestation_storage_bucket=mem://",
		"--search_index.storage_provider=mysql", "--search_index.mysql.dsn="+dsn, "--graceful-timeout=1s"); err != nil {
		return err
	}
	s.rekor1 = fmt.Sprintf("http://localhost:%d", ports[4])
	return s.materialRekor1()
}

// database starts MariaDB with Trillian's tables.
func (s *sigstore) database() (*mariaDB, error) {
	db, err := newMariaDB(s.folder, "mariadb", s.program)
	if err != nil {
		return nil, err
	}
	s.servers = append(s.servers, db)
	if err := db.start(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.processes = append(s.processes, db.process)
	s.mu.Unlock()
	schema, err := os.ReadFile(filepath.Join(s.bin, "trillian.sql"))
	if err != nil {
		return nil, err
	}
	return db, db.create("trillian", string(schema))
}
