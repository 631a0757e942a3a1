package material

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/sigstore/sigstore-go/pkg/tuf"
)

// Init makes a TUF repository the installation's default, as cosign initialize does: it fetches the repository into the cache and notes
// its URL there. Nothing is noted if it cannot be fetched.
func (k *Keeper) Init(ctx context.Context, t TUF) (Source, error) {
	if k.config.Cache == "" {
		return nil, errors.New("there is no folder to keep it in; give one")
	}
	mirror, err := t.check()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(k.config.Cache, 0o700); err != nil {
		return nil, err
	}
	m := k.mirror(origin{name: mirror, first: t.Root, own: k.shared(mirror), renew: renewDefault})
	if err := m.refresh(ctx); err != nil {
		return nil, err
	}
	err = m.held.Load().unsaved
	if err == nil {
		err = k.noteMirror(mirror)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: was fetched, and cannot be kept on disk: %w", mirror, err)
	}
	return k.aged(m, 0), nil
}

func (k *Keeper) noteMirror(mirror string) error {
	content, err := json.Marshal(map[string]string{"mirror": mirror})
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(k.config.Cache)
	if err != nil {
		return err
	}
	defer dir.Close()
	return replaceFile(dir, "remote.json", content)
}

// PublicGoodRoot is the first root.json that is trusted of Sigstore's public good instance.
func PublicGoodRoot() []byte { return tuf.DefaultRoot() }
