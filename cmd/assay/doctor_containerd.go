package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/containerd/ask"
	"github.com/assay-dev/assay/enforce/containerd/health"
	"github.com/assay-dev/assay/image"
)

// Defaults of doctor containerd.
const (
	defaultContainerdSocket = "/run/containerd/containerd.sock"
	defaultContainerdConfig = "/etc/containerd/config.toml"
	defaultCanaryAddress    = "127.0.0.1:0"
	verifierName            = "assay-containerd-verifier"
)

const doctorContainerdHelp = `Look at a containerd and say whether it asks Assay before it pulls: its version and
the known flaws by which images pass a verifier, the settings by which a kubelet's
pulls pass it, the folder of verifiers and who can write there, the node daemon, and
whether a canary is refused: an image that was made a moment ago, in a registry on
loopback that lives as long as the look. It is not run, and nothing of it stays.
Then the images that are there already: of those that were imported containerd has
asked nobody.

The settings are those that "containerd config dump" prints. Run it as root, on the
host: containerd must reach this process on loopback.

Exit codes: 0 if the canary is refused and nothing is wrong, also beside warnings;
1 if images pass, or can; 2 if it cannot be told.`

// root is who must own what decides.
const root = 0

// containerdDoctor are the flags of doctor containerd.
type containerdDoctor struct {
	socket         string // "": none is asked
	config         string
	program        string
	dump           string
	verifier       string
	verifierConfig string
	node           string // socket; "": none is asked
	canary         string // image; "": one of its own
	address        string // of the canary's registry
	signed         string // image
	present        bool
	timeout        time.Duration
	output         *string // text or json
}

func (a *app) doctorContainerdCommand() *cobra.Command {
	o := &containerdDoctor{}
	cmd := &cobra.Command{
		Use:   "containerd",
		Short: "See whether a containerd refuses what nobody vouched for",
		Long:  doctorContainerdHelp,
		Example: unwrapped(`
  assay doctor containerd
  assay doctor containerd --signed registry.example/app:1 --present
  containerd --config /etc/site.toml config dump | assay doctor containerd --dump -`),
		Args: usageArgs(cobra.NoArgs),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.socket, "containerd-socket", defaultContainerdSocket, "containerd's unix `SOCKET`; empty: its settings are looked at alone")
	f.StringVar(&o.config, "containerd-config", defaultContainerdConfig, "`FILE` of the settings that containerd was started with")
	f.StringVar(&o.program, "containerd-bin", "containerd", "`PROGRAM` that prints the effective settings; it is run with config dump")
	f.StringVar(&o.dump, "dump", "", "`FILE` with what containerd config dump printed, in the place of running it; - is stdin")
	f.StringVar(&o.verifier, "verifier", "", "`FILE` that the verifier in the folder must be equal to (default "+verifierName+" beside this program)")
	f.StringVar(&o.verifierConfig, "verifier-config", ask.ConfigFile, "`FILE` of the verifier's configuration")
	f.StringVar(&o.node, "node", defaultNodeSocket, "`SOCKET` of the node daemon; empty: none is asked")
	f.StringVar(&o.canary, "canary", "", "`IMAGE` that nobody vouched for, in the place of one in a registry on loopback")
	f.StringVar(&o.address, "canary-address", defaultCanaryAddress, "`ADDRESS` on loopback of the canary's registry; port 0 is any")
	f.StringVar(&o.signed, "signed", "", "`IMAGE` that must be pulled: somebody vouched for it")
	f.BoolVar(&o.present, "present", false, "ask the node daemon about each image that is there, and not only about those that no pull brought")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long all of it may take")
	o.output = findingsFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.doctorContainerd(cmd.Context(), o) }
	return cmd
}

func (a *app) doctorContainerd(ctx context.Context, o *containerdDoctor) error {
	if err := checkFindings(*o.output); err != nil {
		return err
	}
	if o.dump == "" && o.program == "" && o.socket == "" {
		return usageError("--containerd-socket, --containerd-bin and --dump are empty: there is nothing to look at")
	}
	if o.present && (o.node == "" || o.socket == "") {
		return usageError("--present asks --node about the images at --containerd-socket")
	}
	if o.verifier == "" {
		o.verifier = beside(verifierName)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	found := a.settledContainerd(ctx, o)
	node, said := o.daemon(ctx)
	found = append(found, said...)
	if o.socket != "" {
		found = append(found, o.running(ctx, node)...)
	}
	all := make([]finding, len(found))
	for i, f := range found {
		all[i] = finding{about: f.About, state: diagnosis(f.State), text: f.Text, hint: f.Hint}
	}
	return a.diagnose(*o.output, all)
}

// beside returns the path of a program that was installed with this one.
func beside(name string) string {
	own, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(own), name)
}

// settledContainerd looks at the settings of a containerd, and at the folder that they name.
func (a *app) settledContainerd(ctx context.Context, o *containerdDoctor) []health.Finding {
	const about = "settings"
	dump, err := a.dumped(ctx, o)
	if err != nil {
		return []health.Finding{{About: about, State: health.Unknown, Text: err.Error(),
			Hint: "--containerd-bin and --containerd-config name containerd and its settings; --dump takes what containerd config dump printed"}}
	}
	s, err := health.ReadSettings(dump)
	if err != nil {
		return []health.Finding{{About: about, State: health.Unknown, Text: "what containerd config dump printed: " + err.Error()}}
	}
	_, err = exec.LookPath("criu")
	v := &health.Verifier{Program: o.verifier, Config: o.verifierConfig}
	unreadable := v.Read(root)
	found := s.Look(health.Host{CRIU: err == nil, Deadline: v.Deadline()})
	if folder := s.Folder(); folder != "" {
		found = append(found, health.Folder{Path: folder, Verifier: o.verifier, Max: s.Max(), Owner: root}.Look()...)
	}
	if unreadable != nil {
		return append(found, unreadable...)
	}
	return append(append(found, v.Writers(root)...), v.Fallback(ctx))
}

// dumped returns the effective settings: defaults and all files that are imported, as containerd itself puts them together.
func (a *app) dumped(ctx context.Context, o *containerdDoctor) ([]byte, error) {
	switch {
	case o.dump == "-":
		return io.ReadAll(io.LimitReader(a.stdin, health.MaxSettings+1))
	case o.dump != "":
		return readLimited(o.dump, health.MaxSettings)
	}
	// It would print its defaults, of a file that it does not find as well.
	if _, err := os.Stat(o.config); err != nil && !(errors.Is(err, fs.ErrNotExist) && o.config == defaultContainerdConfig) {
		return nil, err
	}
	return health.Dump(ctx, o.program, o.config)
}

// daemon looks at the node daemon. asker is nil if there is none that answers.
func (o *containerdDoctor) daemon(ctx context.Context) (asker health.Asker, found []health.Finding) {
	const about = "node"
	if o.node == "" {
		return nil, nil
	}
	asker = func(ctx context.Context, q ask.Question) (ask.Answer, error) { return ask.Node(ctx, o.node, q) }
	a, err := asker(ctx, health.Stranger())
	if err != nil {
		return nil, []health.Finding{{About: about, State: health.Doubtful, Text: err.Error() + ": pulls are decided about by what the verifier runs then, or fail",
			Hint: "systemctl status assay-node; --node names its socket"}}
	}
	said := strings.TrimPrefix(a.Reason, "assay: ")
	if a.Allowed {
		return asker, []health.Finding{{About: about, State: health.Wrong, Text: o.node + " allows an image that nobody can have vouched for: " + said,
			Hint: "does a policy allow all images, or only warn or audit?"}}
	}
	return asker, []health.Finding{{About: about, State: health.Fine, Text: o.node + " answers: " + said}}
}

// running looks at a containerd that runs.
func (o *containerdDoctor) running(ctx context.Context, node health.Asker) []health.Finding {
	c, err := health.Open(o.socket)
	if err != nil {
		return []health.Finding{{About: "containerd", State: health.Unknown, Text: err.Error()}}
	}
	defer c.Close()
	found, ok := c.Look(ctx)
	if !ok {
		return found
	}
	if o.canary == "" {
		found = append(found, health.Canary(ctx, c, o.address).Finding())
	} else {
		found = append(found, health.CanaryOf(ctx, c, long(o.canary)).Finding())
	}
	if o.signed != "" {
		found = append(found, health.Signed(ctx, c, o.signed))
	}
	return append(found, c.Present(ctx, node, o.present)...)
}

// long is a name as containerd has it, or what was given where that is none.
func long(name string) string {
	ref, err := image.Parse(name)
	if err != nil {
		return name
	}
	return ref.String()
}
