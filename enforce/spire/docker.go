package spire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/workload"
)

// DockerConfig is what the docker attestor is made of.
type DockerConfig struct {
	Plugin *Plugin
	Proc   *workload.Proc
	// NewVerifier makes what a configuration demands. It is called for those that demand something.
	NewVerifier NewVerifier
	GOOS        string // the system whose keys hold; "": the one that the program was built for
}

// NewDocker makes the attestor of the containers of Docker and Podman.
func NewDocker(c DockerConfig) Attestor {
	c.GOOS = cmp.Or(c.GOOS, runtime.GOOS)
	return &dockerAttestor{c}
}

type dockerAttestor struct{ DockerConfig }

// Name implements Attestor.
func (a *dockerAttestor) Name() string { return "docker" }

// Read implements Attestor.
func (a *dockerAttestor) Read(hcl string) (any, []Note) {
	s, n := readDocker(hcl, a.GOOS)
	if s == nil {
		return nil, n
	}
	a.check(s, &n)
	return s, n
}

// check lets those who use the texts of settings look at them. They open nothing.
func (a *dockerAttestor) check(s *DockerSettings, n *notes) {
	if _, err := workload.NewLocator(a.locator(s)); err != nil {
		n.problem("%v", err)
	}
	client, err := workload.OpenDocker(a.client(s))
	if err != nil {
		n.problem("%v", err)
		return
	}
	client.Close()
}

func (a *dockerAttestor) locator(s *DockerSettings) workload.LocatorConfig {
	return workload.LocatorConfig{
		Proc: a.Proc, Legacy: !s.NewLocator, Matchers: s.Matchers, MountinfoFallback: s.MountinfoFallback, Log: a.Plugin.Log(), Verbose: s.Verbose,
		OnFallback: func() { a.Plugin.Count("mountinfo_fallbacks", "attestor", a.Name()) },
	}
}

func (a *dockerAttestor) client(s *DockerSettings) workload.DockerConfig {
	return workload.DockerConfig{Host: cmp.Or(s.Socket, s.Host), Version: s.Version, Go: a.Plugin.Go, Log: a.Plugin.Log()}
}

// Make implements Attestor. Clients stay with what they remember, as long as they are made in the same way.
func (a *dockerAttestor) Make(settings any, _ string, previous State) (State, error) {
	s, ok := settings.(*DockerSettings)
	if !ok {
		return nil, fmt.Errorf("no settings of the docker attestor: %T", settings)
	}
	before, _ := previous.(*dockerState)
	if before == nil {
		before = &dockerState{}
	}
	made := &dockerState{plugin: a.Plugin, proc: a.Proc, rootless: s.RootlessPodman}
	if err := made.open(a, s, before); err != nil {
		made.Close()
		return nil, err
	}
	return made, nil
}

func (d *dockerState) open(a *dockerAttestor, s *DockerSettings, before *dockerState) (err error) {
	if d.locator, err = workload.NewLocator(a.locator(s)); err != nil {
		return err
	}
	if d.docker, err = openDocker(a.client(s), before.docker); err != nil {
		return err
	}
	if s.PodmanSocket != "" {
		c := workload.PodmanConfig{Host: s.PodmanSocket, Template: s.PodmanTemplate, Go: a.Plugin.Go, Log: a.Plugin.Log()}
		if d.podman, err = openPodman(c, before.podman); err != nil {
			return err
		}
	}
	if s.MountinfoFallback {
		a.Plugin.Count("weakened_checks", "attestor", a.Name(), "key", "insecure_mountinfo_fallback")
	}
	if s.Verification.Demanded() {
		d.verifier, err = demand(a.NewVerifier, s.Verification, a.Name())
	}
	return err
}

// demand makes a verifier. Where something is demanded there is one, or an error.
func demand(makes NewVerifier, v Verification, kind string) (Verifier, error) {
	made, err := makes(v, kind)
	switch {
	case err != nil && v.Sigstore != nil && !strings.HasPrefix(err.Error(), sigstoreProblem):
		return nil, fmt.Errorf(sigstoreProblem+"%w", err)
	case err != nil:
		return nil, err
	case made == nil:
		return nil, errors.New("nobody looks at the proofs that are demanded")
	}
	return made, nil
}

const sigstoreProblem = "error initializing sigstore verifier: "

func openDocker(c workload.DockerConfig, before *kept[*workload.Docker]) (*kept[*workload.Docker], error) {
	key := c.Host + "\x00" + c.Version
	if before.share(key) {
		return before, nil
	}
	client, err := workload.OpenDocker(c)
	if err != nil {
		return nil, err
	}
	return keep(client, key, client.Close), nil
}

func openPodman(c workload.PodmanConfig, before *kept[*workload.Podman]) (*kept[*workload.Podman], error) {
	key := c.Host + "\x00" + c.Template
	if before.share(key) {
		return before, nil
	}
	clients, err := workload.OpenPodman(c)
	if err != nil {
		return nil, err
	}
	return keep(clients, key, clients.Close), nil
}

// containers is what is asked of Docker or Podman.
type containers interface {
	Running(ctx context.Context, id string) (workload.RunningContainer, error)
	RunningImage(ctx context.Context, id string) (workload.RunningImage, error)
	Forget(id string)
}

var _ containers = (*workload.Docker)(nil)

// dockerState answers with one configuration of the docker attestor.
type dockerState struct {
	plugin   *Plugin
	proc     *workload.Proc
	locator  *workload.Locator
	docker   *kept[*workload.Docker]
	podman   *kept[*workload.Podman] // nil on Windows
	rootless bool                    // the Podman of users is asked
	verifier Verifier                // nil: nothing is demanded
}

var _ State = (*dockerState)(nil)

// Close implements State.
func (d *dockerState) Close() {
	if d.verifier != nil {
		d.verifier.Close()
	}
	d.podman.release()
	d.docker.release()
}

// AttestReference implements State. Docker's containers are named by processes only.
func (d *dockerState) AttestReference(context.Context, *anypb.Any, []string) ([]string, error) {
	return nil, status.Error(codes.Unimplemented, "method AttestReference not implemented")
}

// Attest implements State.
func (d *dockerState) Attest(ctx context.Context, pid int32) ([]string, error) {
	place, err := d.locator.Locate(ctx, pid)
	if err != nil {
		return nil, locating(ctx, err)
	}
	if place.ContainerID == "" {
		return nil, nil
	}
	from, err := d.engine(place)
	if err != nil || from == nil {
		return nil, err
	}
	values, err := d.selectors(ctx, from, place)
	if err != nil || len(values) == 0 {
		return nil, err
	}
	if err := same(d.proc, pid, place.Started); err != nil {
		return nil, err
	}
	return values, nil
}

// locating makes of what went wrong while a container was looked for what the caller is told.
func locating(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil, errors.Is(err, workload.ErrProcessGone), errors.Is(err, context.DeadlineExceeded):
		return err // could not tell
	case errors.Is(err, workload.ErrMatchers):
		return Refuse(enforce.No, codes.Unknown, err.Error())
	case errors.Is(err, workload.ErrConflict):
		return Refuse(enforce.No, codes.FailedPrecondition, err.Error())
	}
	return Refuse(enforce.CannotTell, codes.Internal, err.Error())
}

// same makes sure that a process is still the one that was located: numbers are used again, and proofs take time.
func same(proc *workload.Proc, pid int32, started uint64) error {
	now, err := proc.Started(pid)
	switch {
	case err != nil:
		return err
	case now != started:
		return fmt.Errorf("process %d: another one has its number: %w", pid, workload.ErrProcessGone)
	}
	return nil
}

// engine returns who runs the containers of a place. Nil: nobody who may be asked.
func (d *dockerState) engine(place workload.Place) (containers, error) {
	switch {
	case place.Podman == nil:
		return d.docker.value, nil
	case d.podman == nil, place.Podman.Rootless && !d.rootless:
		return nil, nil
	}
	client, err := d.podman.value.At(*place.Podman)
	if err != nil {
		return nil, Refuse(enforce.CannotTell, codes.Internal, err.Error())
	}
	return client, nil
}

// selectors returns the values of what an engine says of a container, and of the proofs of its image.
func (d *dockerState) selectors(ctx context.Context, from containers, place workload.Place) ([]string, error) {
	container, err := d.container(ctx, from, place)
	if errors.Is(err, workload.ErrAbsent) {
		d.plugin.Log().Debug("No such container", "container_id", place.ContainerID)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	running, err := d.image(ctx, from, container)
	if err != nil {
		return nil, err
	}
	values := dockerSelectors(container, running)
	if d.verifier == nil {
		return values, nil
	}
	proofs, err := d.verifier.Verify(ctx, subject(container, running))
	if err != nil {
		return nil, err
	}
	return append(values, proofs...), nil
}

// image returns what the engine says of the image that a container runs: by its ID, because its name may stand for another one by now. Where
// nothing is demanded of it, not to know it is no error.
func (d *dockerState) image(ctx context.Context, from containers, container workload.RunningContainer) (workload.RunningImage, error) {
	var running workload.RunningImage
	err := errors.New("the engine does not say which image it runs")
	if container.Image != "" {
		running, err = from.RunningImage(ctx, container.Image)
	}
	switch {
	case err == nil:
		return running, nil
	case ctx.Err() != nil:
		return workload.RunningImage{}, err
	case d.verifier != nil:
		return workload.RunningImage{}, Refuse(enforce.CannotTell, codes.Internal, fmt.Sprintf("failed to inspect image %q: %v", container.Named, err))
	}
	d.plugin.Log().Debug("No config digest of an image", "container_id", container.ID, "image_id", container.Image, "error", err.Error())
	return workload.RunningImage{}, nil
}

// subject is what is to be proved of a container.
func subject(container workload.RunningContainer, running workload.RunningImage) Subject {
	s := Subject{Image: container.Named, References: running.Digests, ContainerID: container.ID}
	if digest, err := image.ParseDigest(running.ID); err == nil {
		s.Content = []image.Digest{digest}
	}
	return s
}
