package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Namespace is the one of containerd in which the images of a kubelet are.
const Namespace = "k8s.io"

// Limits of what a containerd answers.
const (
	maxAnswer = 16 << 20 // bytes
	maxError  = 2 << 10  // bytes of an error that are shown
)

// Client asks a containerd at its socket. It knows a few methods, and of each message the few fields that matter here: the packages with all of them
// would make the program larger and slower to start for everybody.
type Client struct {
	conn *grpc.ClientConn
}

// Open returns a client of the containerd at a unix socket. Nothing is asked yet.
func Open(socket string) (*Client, error) {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bare{}), grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// bare is a codec for messages that are bytes already.
type bare struct{}

func (bare) Name() string { return "proto" }

func (bare) Marshal(v any) ([]byte, error) { return *v.(*message), nil }

func (bare) Unmarshal(data []byte, v any) error {
	*v.(*message) = slices.Clone(data)
	return nil
}

// call asks one method.
func (c *Client) call(ctx context.Context, method string, request message) (message, error) {
	var answer message
	err := c.conn.Invoke(metadata.AppendToOutgoingContext(ctx, "containerd-namespace", Namespace), method, &request, &answer)
	return answer, err
}

// told is an error of containerd without what gRPC adds to it.
func told(err error) string {
	text := status.Convert(err).Message()
	if text == "" {
		text = err.Error()
	}
	if len(text) > maxError {
		text = text[:maxError] + "…"
	}
	return text
}

// Version is the version of the containerd.
func (c *Client) Version(ctx context.Context) (string, error) {
	answer, err := c.call(ctx, "/containerd.services.version.v1.Version/Version", nil)
	if err != nil {
		return "", err
	}
	return answer.text(1)
}

// errNotLoaded is a plugin that is not among those of a containerd.
var errNotLoaded = errors.New("it is not loaded")

// Plugin reports whether a plugin, as "io.containerd.image-verifier.v1" and "bindir", runs in the containerd: the error says why it does not.
func (c *Client) Plugin(ctx context.Context, kind, id string) error {
	answer, err := c.call(ctx, "/containerd.services.introspection.v1.Introspection/Plugins", message{}.with(1, "type=="+kind+",id=="+id))
	if err != nil {
		return err
	}
	plugins, err := answer.all(1)
	if err != nil {
		return err
	}
	if len(plugins) == 0 {
		return errNotLoaded
	}
	failed, err := plugins[0].all(7)
	if err != nil || len(failed) == 0 {
		return err
	}
	why, err := failed[0].text(2)
	return errors.Join(fmt.Errorf("%w: %s", errNotLoaded, why), err)
}

// Methods of the image service that a kubelet uses, and of those that containerd always has.
const (
	pullMethod     = "/runtime.v1.ImageService/PullImage"
	removeMethod   = "/runtime.v1.ImageService/RemoveImage"
	transferMethod = "/containerd.services.transfer.v1.Transfer/Transfer"
	deleteMethod   = "/containerd.services.images.v1.Images/Delete"
)

// pull has the containerd pull an image as a kubelet does, or, where it serves none, as ctr does.
func (c *Client) pull(ctx context.Context, image string) error {
	_, err := c.call(ctx, pullMethod, spec(image))
	if noKubelet(err) {
		_, err = c.call(ctx, transferMethod, message{}.
			nest(1, anything("containerd.types.transfer.OCIRegistry", message{}.with(1, image))).
			nest(2, anything("containerd.types.transfer.ImageStore", message{}.with(1, image))))
	}
	return err
}

// spec is what CRI names an image with.
func spec(image string) message { return message{}.nest(1, message{}.with(1, image)) }

// anything is a message in one that takes several.
func anything(name string, m message) message { return message{}.with(1, name).nest(2, m) }

// remove removes an image, with all its names where a kubelet is served.
func (c *Client) remove(ctx context.Context, image string) error {
	_, err := c.call(ctx, removeMethod, spec(image))
	if noKubelet(err) {
		_, err = c.call(ctx, deleteMethod, message{}.with(1, image))
	}
	return err
}

// noKubelet reports whether a containerd has no services for a kubelet.
func noKubelet(err error) bool { return status.Code(err) == codes.Unimplemented }

// away reports whether nobody could be reached at containerd's socket.
func away(err error) bool {
	return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "while dialing")
}

// Look returns what a containerd says of itself; ok is false if it says nothing.
func (c *Client) Look(ctx context.Context) (found []Finding, ok bool) {
	version, err := c.Version(ctx)
	if err != nil {
		return []Finding{sayf("containerd", Unknown, "%s", told(err)).hinting("--containerd-socket names its socket")}, false
	}
	found = Version(version)
	kind, id := cutLast(verifierPlugin)
	switch err := c.Plugin(ctx, kind, id); {
	case errors.Is(err, errNotLoaded):
		found = append(found, sayf("running", Wrong, "%s: %v: no pull is decided about", verifierPlugin, err).hinting("containerd reads its settings when it starts"))
	case err != nil:
		found = append(found, sayf("running", Unknown, "%s: %s", verifierPlugin, told(err)))
	default:
		found = append(found, sayf("running", Fine, "%s is loaded", verifierPlugin))
	}
	return found, true
}

// Present says what is known of the images that are there, see the function of that name.
func (c *Client) Present(ctx context.Context, node Asker, all bool) []Finding {
	images, err := c.Images(ctx)
	if err != nil {
		return []Finding{sayf("images", Unknown, "%s", told(err))}
	}
	return Present(ctx, images, node, all)
}

// cutLast cuts the name of a plugin into its type and itself.
func cutLast(plugin string) (kind, id string) {
	at := strings.LastIndexByte(plugin, '.')
	if at < 0 {
		return "", plugin
	}
	return plugin[:at], plugin[at+1:]
}
