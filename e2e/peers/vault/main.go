// Command vault is HashiCorp Vault's own core and HTTP API with the PKI and transit engines and the JWT login, kept in memory and unsealed
// at start: a real Vault for the stories, at a third of the size of the full server.
//
// It prints its address and its root token as "ADDR TOKEN" and serves until it is killed.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"

	"github.com/hashicorp/go-hclog"
	jwtauth "github.com/hashicorp/vault-plugin-auth-jwt"
	"github.com/hashicorp/vault/builtin/logical/pki"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:0", "address to listen on")
	cert := flag.String("tls-cert", "", "PEM certificate; with it, HTTPS is served")
	key := flag.String("tls-key", "", "PEM key of the certificate")
	flag.Parse()
	if err := run(*addr, *cert, *key); err != nil {
		log.Fatal(err)
	}
}

func run(addr, cert, key string) error {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Error})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		Logger:             logger,
		DisableMlock:       true,
		BuiltinRegistry:    builtins{},
		LogicalBackends:    map[string]logical.Factory{"pki": pki.Factory, "transit": transit.Factory},
		CredentialBackends: map[string]logical.Factory{"jwt": jwtauth.Factory},
	})
	if err != nil {
		return err
	}
	secrets, err := core.Initialize(context.Background(), &vault.InitParams{
		BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
	})
	if err != nil {
		return err
	}
	for _, share := range secrets.SecretShares {
		if _, err := core.Unseal(share); err != nil {
			return err
		}
	}
	ln, err := listen(addr, cert, key)
	if err != nil {
		return err
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core:           core,
		ListenerConfig: &configutil.Listener{Type: "tcp", Address: addr},
	})
	fmt.Println(ln.Addr(), secrets.RootToken)
	return http.Serve(ln, handler)
}

func listen(addr, cert, key string) (net.Listener, error) {
	if cert == "" {
		return net.Listen("tcp", addr)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{pair}})
}

// builtins is the registry of plugins that are compiled in: the PKI and transit engines and the JWT login.
type builtins struct{}

var plugins = map[consts.PluginType]map[string]logical.Factory{
	consts.PluginTypeSecrets:    {"pki": pki.Factory, "transit": transit.Factory},
	consts.PluginTypeCredential: {"jwt": jwtauth.Factory},
}

func (builtins) Contains(name string, t consts.PluginType) bool {
	return plugins[t][name] != nil
}

func (builtins) Get(name string, t consts.PluginType) (func() (interface{}, error), bool) {
	factory, ok := plugins[t][name]
	return func() (interface{}, error) { return factory, nil }, ok
}

func (builtins) Keys(t consts.PluginType) []string {
	var names []string
	for name := range plugins[t] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (builtins) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, true
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
