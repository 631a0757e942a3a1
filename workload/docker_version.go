package workload

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Versions 1.x of the API that are spoken.
const (
	minMinor = 40
	maxMinor = 55
)

// apiVersion is the version of the API that an engine is asked in. It is found out once.
type apiVersion struct {
	fixed bool
	turn  chan struct{} // whoever holds it may change what follows; nil: nobody needs to
	known bool
	text  string // "1.45"; "": the engine's own
}

var versionNumber = regexp.MustCompile(`^([0-9]{1,9})\.([0-9]{1,9})$`)

// parseVersion reads what a configuration says.
func parseVersion(text string) (*apiVersion, error) {
	if text == "" {
		return &apiVersion{turn: make(chan struct{}, 1)}, nil
	}
	m := versionNumber.FindStringSubmatch(strings.TrimPrefix(text, "v"))
	if m == nil {
		return nil, fmt.Errorf("invalid API version (%s): must be formatted <major>.<minor>", text)
	}
	if minor, _ := strconv.Atoi(m[2]); m[1] != "1" || minor < minMinor || minor > maxMinor {
		return nil, fmt.Errorf("invalid API version (%s): 1.%d to 1.%d are spoken", text, minMinor, maxMinor)
	}
	return &apiVersion{fixed: true, known: true, text: m[0]}, nil
}

// prefix is what the paths of the API begin with.
func (d *Docker) prefix(ctx context.Context) (string, error) {
	text, err := d.speak(ctx)
	if err != nil || text == "" {
		return "", err
	}
	return "/v" + text, nil
}

func (d *Docker) speak(ctx context.Context) (string, error) {
	v := d.version
	if v.turn == nil {
		return v.text, nil
	}
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { <-v.turn }()
	if v.known {
		return v.text, nil
	}
	offered, err := d.ping(ctx)
	if err != nil {
		return "", err
	}
	if offered == "" { // an engine that says nothing is asked in the oldest version, and asked again
		return fmt.Sprintf("1.%d", minMinor), nil
	}
	text, err := common(offered)
	if err != nil {
		return "", fmt.Errorf("%s: %w", d.socket, err)
	}
	v.text, v.known = text, true
	return text, nil
}

// renegotiate forgets what an engine was found to speak: another one may answer there now.
func (d *Docker) renegotiate() {
	v := d.version
	if v.turn == nil {
		return
	}
	select {
	case v.turn <- struct{}{}:
		v.known = false
		<-v.turn
	default: // somebody is at it
	}
}

// common returns the newest version that both sides speak.
func common(offered string) (string, error) {
	m := versionNumber.FindStringSubmatch(offered)
	if m == nil || m[1] != "1" {
		return "", fmt.Errorf("speaks version %.40q of the API; 1.%d to 1.%d are spoken here", offered, minMinor, maxMinor)
	}
	minor, _ := strconv.Atoi(m[2])
	if minor < minMinor {
		return "", fmt.Errorf("speaks version %s of the API at most; 1.%d to 1.%d are spoken here", offered, minMinor, maxMinor)
	}
	return fmt.Sprintf("1.%d", min(minor, maxMinor)), nil
}

// ping returns the newest version that the engine says it speaks; "": it says nothing. An engine that does not answer at all is an error.
func (d *Docker) ping(ctx context.Context) (string, error) {
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		resp, err := d.do(ctx, d.client, method, "/_ping", nil, nil)
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		if offered := resp.Header.Get("Api-Version"); offered != "" && (resp.StatusCode == http.StatusOK || method == http.MethodGet) {
			return offered, nil
		}
	}
	return "", nil
}
