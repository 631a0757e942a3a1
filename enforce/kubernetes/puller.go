package kubernetes

import (
	"context"

	"github.com/assay-dev/assay/engine"
)

// Puller is what an object says of how its images are pulled: of several pod templates in one object, what all of them say.
type Puller struct {
	Namespace string
	Accounts  []string // service accounts; none: the namespace's default one
	Secrets   []string // that the object names itself
}

// Logins knows pull secrets.
type Logins interface {
	// Logins returns those with which a node would pull an object's images. An error means that it could not tell.
	Logins(ctx context.Context, p Puller) (engine.Logins, error)
}

// pulling says what a value in a pod's spec has to do with how its images are pulled.
type pulling byte

const (
	pullSecrets pulling = iota + 1 // secrets, as objects with a name
	pullAccount                    // the name of a service account, whose secrets count where the spec names none
)

// logins returns what the images of the object are pulled with.
func (h *Handler) logins(ctx context.Context, r *review) (engine.Logins, error) {
	if h.config.Logins == nil || r.namespace == "" {
		return engine.Logins{}, nil
	}
	p := r.object.puller
	p.Namespace = r.namespace
	return h.config.Logins.Logins(ctx, p)
}

// pull takes a value that says how images are pulled. What has another shape is passed over: no image can be in it.
func (w *walk) pull(what pulling, next byte) error {
	switch {
	case what == pullAccount && next == '"':
		name, err := w.text()
		if name != "" {
			w.puller.Accounts = append(w.puller.Accounts, name)
		}
		return err
	case what == pullSecrets && next == '[':
		return w.list(func(int) error { return w.secret() })
	}
	return w.skip()
}

func (w *walk) secret() error {
	if w.next() != '{' {
		return w.skip()
	}
	return w.object(func(name []byte) error {
		if string(name) != "name" || w.next() != '"' {
			return w.skip()
		}
		text, err := w.text()
		if text != "" {
			w.puller.Secrets = append(w.puller.Secrets, text)
		}
		return err
	})
}
