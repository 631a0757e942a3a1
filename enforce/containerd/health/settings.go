package health

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// MaxSettings is the limit of a configuration, in bytes. A real one has 10 KB.
const MaxSettings = 1 << 20

// Plugins of containerd that matter here.
const (
	verifierPlugin = "io.containerd.image-verifier.v1.bindir"
	transferPlugin = "io.containerd.transfer.v1.local"
	imagesPlugin   = "io.containerd.cri.v1.images"
	criPlugin      = "io.containerd.grpc.v1.cri"
)

// Settings are the effective settings of a containerd, as far as they matter here: those that "containerd config dump" prints, where
// defaults and imported files are in. A field that can be nil stands in the dump of each containerd that knows it.
type Settings struct {
	Version  int      `toml:"version"` // of the form
	Disabled []string `toml:"disabled_plugins"`
	Plugins  struct {
		Verifier *struct {
			BinDir  string `toml:"bin_dir"`
			Max     *int   `toml:"max_verifiers"`
			Timeout string `toml:"per_verifier_timeout"` // as of time.ParseDuration
		} `toml:"io.containerd.image-verifier.v1.bindir"`
		Images  *imageSettings `toml:"io.containerd.cri.v1.images"`
		Runtime struct {
			CRIU *bool `toml:"enable_criu"`
		} `toml:"io.containerd.cri.v1.runtime"`
	} `toml:"plugins"`
}

// imageSettings are those of the pulls that a kubelet asks for.
type imageSettings struct {
	Local         *bool `toml:"use_local_image_pull"`
	NoAnnotations *bool `toml:"disable_snapshot_annotations"`
	Discard       *bool `toml:"discard_unpacked_layers"`
	Downloads     *int  `toml:"max_concurrent_downloads"`
	SyncFS        *bool `toml:"image_pull_with_sync_fs"`
	Registry      struct {
		Mirrors map[string]any `toml:"mirrors"`
		Configs map[string]any `toml:"configs"`
		Auths   map[string]any `toml:"auths"`
	} `toml:"registry"`
}

// ReadSettings reads what "containerd config dump" prints. What it does not know is left alone: there is much more in a dump.
func ReadSettings(dump []byte) (*Settings, error) {
	if len(dump) > MaxSettings {
		return nil, fmt.Errorf("more than %d bytes", MaxSettings)
	}
	var s Settings
	if err := toml.Unmarshal(dump, &s); err != nil {
		return nil, err
	}
	if s.Version == 0 {
		return nil, errors.New(`no "version": not what containerd config dump prints`)
	}
	return &s, nil
}

// Dump has a containerd print the effective settings of a file, with its defaults and the files that are imported.
func Dump(ctx context.Context, program, config string) ([]byte, error) {
	out, said := &head{left: MaxSettings + 1}, &head{left: maxLine}
	cmd := exec.CommandContext(ctx, program, "--config", config, "config", "dump")
	cmd.Stdout, cmd.Stderr = out, said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s config dump: %w: %s", program, err, strings.TrimSpace(said.kept.String()))
	}
	return out.kept.Bytes(), nil
}

// off reports whether a plugin is among those that are not to be loaded.
func (s *Settings) off(plugin string) bool { return slices.Contains(s.Disabled, plugin) }

// Folder is where verifiers are looked for; "" if nobody looks.
func (s *Settings) Folder() string {
	if s.Plugins.Verifier == nil || s.off(verifierPlugin) {
		return ""
	}
	return s.Plugins.Verifier.BinDir
}

// Max is how many verifiers are asked. Less than 0 is all, and 0 is none.
func (s *Settings) Max() int {
	if s.Plugins.Verifier == nil || s.Plugins.Verifier.Max == nil {
		return 0
	}
	return *s.Plugins.Verifier.Max
}

// Host is what settings are compared with.
type Host struct {
	Deadline time.Duration // how long Assay's verifier takes at most; 0: not known
	CRIU     bool          // the program is there that restores checkpoints
}

// Look returns what the settings say.
func (s *Settings) Look(h Host) []Finding {
	found := append([]Finding{s.plugin()}, s.pulls()...)
	if criu := s.Plugins.Runtime.CRIU; criu != nil && *criu && h.CRIU {
		found = append(found, sayf("checkpoints", Doubtful, "containers can be restored from checkpoints, whose files nobody is asked about").
			hinting(`enable_criu = false under plugins."io.containerd.cri.v1.runtime"`))
	}
	if s.Folder() != "" {
		found = append(found, s.deadline(h.Deadline))
	}
	return found
}

// plugin says whether there is a verifier at all.
func (s *Settings) plugin() Finding {
	const about = "plugin"
	switch {
	case s.off(verifierPlugin):
		return sayf(about, Wrong, "%s is disabled: no pull is decided about", verifierPlugin).hinting("take it out of disabled_plugins, and restart containerd")
	case s.Plugins.Verifier == nil:
		return sayf(about, Wrong, "%s has no settings: this containerd asks no verifier", verifierPlugin).hinting("containerd 2.1 and later ask; assay containerd install writes the settings")
	case s.off(transferPlugin):
		return sayf(about, Doubtful, "%s is disabled, and it alone asks verifiers: pulls fail", transferPlugin).hinting("take it out of disabled_plugins, and restart containerd")
	case s.Plugins.Verifier.BinDir == "":
		return sayf(about, Wrong, "%s has no bin_dir: no pull is decided about", verifierPlugin).hinting("assay containerd install writes the settings")
	}
	return sayf(about, Fine, "%s looks for verifiers in %s", verifierPlugin, s.Plugins.Verifier.BinDir)
}

// Bypass is a setting by which the pulls of a kubelet are made without the transfer service, which alone asks verifiers.
type Bypass struct {
	Name string // under plugins."io.containerd.cri.v1.images"
	Safe string // the value under which verifiers are asked
	set  func(*imageSettings) bool
}

// Bypasses returns all of them, as containerd 2.4.2 has them (CheckLocalImagePullConfigs).
func Bypasses() []Bypass {
	return []Bypass{
		{"use_local_image_pull", "false", func(i *imageSettings) bool { return i.Local == nil || *i.Local }},
		{"disable_snapshot_annotations", "true", func(i *imageSettings) bool { return i.NoAnnotations != nil && !*i.NoAnnotations }},
		{"discard_unpacked_layers", "false", func(i *imageSettings) bool { return i.Discard != nil && *i.Discard }},
		{"max_concurrent_downloads", "3", func(i *imageSettings) bool { return i.Downloads != nil && *i.Downloads != 3 }},
		{"image_pull_with_sync_fs", "false", func(i *imageSettings) bool { return i.SyncFS != nil && *i.SyncFS }},
		{"registry.mirrors", "none", func(i *imageSettings) bool { return len(i.Registry.Mirrors) > 0 }},
		{"registry.configs", "none", func(i *imageSettings) bool { return len(i.Registry.Configs) > 0 }},
		{"registry.auths", "none", func(i *imageSettings) bool { return len(i.Registry.Auths) > 0 }},
	}
}

// pulls says which settings make the pulls of a kubelet pass the verifier.
func (s *Settings) pulls() []Finding {
	const about = "pulls"
	images := s.Plugins.Images
	switch {
	case s.off(imagesPlugin) || s.off(criPlugin):
		return []Finding{sayf(about, Doubtful, "the plugins for a kubelet are disabled: what other clients pull is decided about only where they ask containerd to pull").
			hinting("ctr image pull --local, nerdctl and BuildKit pull by themselves, and ask nobody")}
	case images == nil:
		return []Finding{sayf(about, Wrong, "%s has no settings: this containerd pulls for a kubelet without a verifier", imagesPlugin).hinting("containerd 2.1 and later ask")}
	case images.Local != nil && (images.NoAnnotations == nil || images.Discard == nil || images.Downloads == nil || images.SyncFS == nil):
		return []Finding{sayf(about, Unknown, "%s lacks settings that every containerd prints: these are not its effective settings", imagesPlugin).
			hinting("give --dump what containerd config dump prints, and not the file of its settings")}
	}
	var found []Finding
	for _, b := range Bypasses() {
		if b.set(images) {
			found = append(found, sayf(about, Wrong, "%s makes the pulls of a kubelet pass the verifier", b.Name).hinting(b.hint()))
		}
	}
	if len(found) == 0 {
		found = []Finding{sayf(about, Fine, "no setting makes the pulls of a kubelet pass the verifier")}
	}
	return found
}

// hint says what to write instead.
func (b Bypass) hint() string {
	table, key, nested := strings.Cut(b.Name, ".")
	switch {
	case nested:
		return fmt.Sprintf(`remove %s under plugins."%s".%s; config_path and its hosts.toml do the same, and verifiers are asked`, key, imagesPlugin, table)
	case b.Name == "max_concurrent_downloads":
		return fmt.Sprintf(`%s = %s under plugins."%s"; the number of downloads is set under plugins."%s"`, b.Name, b.Safe, imagesPlugin, transferPlugin)
	}
	return fmt.Sprintf(`%s = %s under plugins."%s"`, b.Name, b.Safe, imagesPlugin)
}

// deadline compares how long containerd waits with how long Assay's verifier takes.
func (s *Settings) deadline(own time.Duration) Finding {
	const about = "deadline"
	text := s.Plugins.Verifier.Timeout
	limit, err := time.ParseDuration(text)
	switch {
	case err != nil || limit <= 0:
		return sayf(about, Doubtful, "per_verifier_timeout is %q: every pull fails", text).hinting(`per_verifier_timeout = "10s"`)
	case own == 0:
		return sayf(about, Fine, "containerd waits %v for a verifier", limit)
	case own >= limit:
		return sayf(about, Doubtful, "containerd waits %v for a verifier, and Assay's takes up to %v: a slow answer is lost, and the pull fails without its reason", limit, own).
			hinting(fmt.Sprintf(`per_verifier_timeout = "%v" or more`, own+time.Second))
	}
	return sayf(about, Fine, "containerd waits %v for a verifier, and Assay's takes up to %v", limit, own)
}
