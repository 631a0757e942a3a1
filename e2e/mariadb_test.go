//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mariaDB is a database server with its data in a folder of its own.
type mariaDB struct {
	data    string
	log     string
	port    int
	find    func(program string) (string, error)
	short   string // the name of a Unix socket must be short, so it is here
	process *process
}

// newMariaDB makes the data of a server that has not started. The data and the log are NAME and NAME.log in folder.
func newMariaDB(folder, name string, find func(string) (string, error)) (*mariaDB, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	short, err := os.MkdirTemp("", "assay")
	if err != nil {
		return nil, err
	}
	d := &mariaDB{data: filepath.Join(folder, name), log: filepath.Join(folder, name+".log"), port: ports[0], find: find, short: short}
	// --force: it would look its own host up, and end where a resolver does not answer.
	if err := d.run("", "mariadb-install-db", append(d.flags(), "--force", "--auth-root-authentication-method=normal", "--skip-test-db")...); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *mariaDB) flags() []string {
	// No asynchronous input and output: all servers of a machine share one budget of that.
	args := []string{"--no-defaults", "--datadir=" + d.data, "--innodb-use-native-aio=0"}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	return args
}

// start starts the server and waits until it answers.
func (d *mariaDB) start() error {
	path, err := d.find("mariadbd")
	if err != nil {
		return err
	}
	args := append(d.flags(), "--socket="+d.socket(), "--pid-file="+filepath.Join(d.short, "pid"), fmt.Sprintf("--port=%d", d.port),
		"--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=2")
	if d.process, err = launch(d.short, d.log, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.short}, path, args...); err != nil {
		return err
	}
	return d.process.await(func() error { return d.query("select 1") })
}

// stop stops the server: its data are then files that can be copied.
func (d *mariaDB) stop() {
	if d.process != nil {
		d.process.end()
	}
}

// Close stops the server for good.
func (d *mariaDB) Close() {
	d.stop()
	_ = os.RemoveAll(d.short) // under the system's temporary folder: nothing is lost
}

func (d *mariaDB) socket() string { return filepath.Join(d.short, "s") }

// create makes a database, all of whose tables the user lab may use.
func (d *mariaDB) create(name, schema string) error {
	return d.query(fmt.Sprintf("create database %s; create user if not exists lab@'127.0.0.1' identified by 'lab'; "+
		"grant all on %s.* to lab@'127.0.0.1'; use %s;\n%s", name, name, name, schema))
}

// source names a database for Go's MySQL driver.
func (d *mariaDB) source(name string) string {
	return fmt.Sprintf("lab:lab@tcp(127.0.0.1:%d)/%s?parseTime=true&interpolateParams=true", d.port, name)
}

func (d *mariaDB) query(text string) error {
	return d.run(text, "mariadb", "--no-defaults", "--socket="+d.socket(), "--user=root")
}

func (d *mariaDB) run(input, program string, args ...string) error {
	path, err := d.find(program)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Dir = d.short
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w\n%s", program, args, err, out)
	}
	return nil
}
