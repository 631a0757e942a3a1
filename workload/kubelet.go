package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits of what is asked of a kubelet.
const (
	kubeletTimeout      = 10 * time.Second // for one list of pods
	maxKubeletRefusal   = 1 << 10          // bytes of an answer that is no list, in the error
	defaultKubeletPoll  = 500 * time.Millisecond
	defaultKubeletFiles = time.Minute
)

// KubeletConfig says where a node's kubelet is and how to be known to it.
type KubeletConfig struct {
	// Host is the node's name or address, and the name that the kubelet's certificate must have. Empty: 127.0.0.1, and a
	// certificate of the CA counts whatever its name is.
	Host string
	Port int
	// ReadOnly is that the port is the one without TLS: it is asked at 127.0.0.1, whatever Host is, and gets no credentials.
	ReadOnly bool

	// CAFile and TokenFile default to those of the pod's service account, below the first of ServiceAccount where they exist.
	CAFile, TokenFile string
	// ServiceAccount are folders with ca.crt and token. Empty: the two where Linux has them.
	ServiceAccount []string
	// CertFile and KeyFile are a client certificate and its key: both or none. With them no token is sent.
	CertFile, KeyFile string
	// Anonymous sends neither token nor certificate.
	Anonymous bool
	// InsecureSkipVerification takes any certificate of the kubelet: whoever answers at its port decides what runs where.
	InsecureSkipVerification bool

	// KeepCompleted keeps pods that have ended.
	KeepCompleted bool

	// ReloadInterval is after how long the next fetch reads the files again; 0: a minute.
	ReloadInterval time.Duration
	// PollInterval is the least time between the starts of two fetches; 0: half a second.
	PollInterval time.Duration

	// Go starts a goroutine whose panic must not end the process. Nil: one is logged.
	Go func(name string, fn func())
	// Fetched is told what each fetch brought: a list or an error. Nil: nobody is.
	Fetched func(*PodList, error)

	dial   dialFunc // nil: the network's
	server string   // in messages about its CA; "": kubelet
}

// Kubelet asks a kubelet for its pods. All callers share one fetch at a time, and two begin no sooner after one another than configured.
// It is safe for concurrent use.
type Kubelet struct {
	config KubeletConfig
	url    string
	files  *serverFiles // of the fetch alone

	ctx    context.Context
	cancel context.CancelFunc
	busy   sync.WaitGroup

	mu     sync.Mutex
	number uint64    // of the last fetch that has begun
	begun  time.Time // when that was
	list   *PodList  // what it brought, if it is good
	next   *podFetch // what callers wait for, or nil
}

// podFetch is one fetch, which has perhaps not begun. List, err and number may be read after done is closed.
type podFetch struct {
	done    chan struct{}
	number  uint64
	list    *PodList
	err     error
	waiting int // callers, under Kubelet.mu
}

// errKubeletClosed is what a fetch ends with that nobody wants any more.
var errKubeletClosed = errors.New("the client of the kubelet was closed")

// errFetchBroken is what callers get of a fetch that ended by a panic.
var errFetchBroken = errors.New("the fetch of the pods ended by a bug; the log has it")

// OpenKubelet reads the files that a configuration names. It connects to nothing.
func OpenKubelet(c KubeletConfig) (*Kubelet, error) {
	if c.Go == nil {
		c.Go = guarded
	}
	if c.PollInterval <= 0 {
		c.PollInterval = defaultKubeletPoll
	}
	if c.ReloadInterval <= 0 {
		c.ReloadInterval = defaultKubeletFiles
	}
	k := &Kubelet{config: c, url: kubeletURL(c), files: &serverFiles{config: c}}
	if _, _, err := k.files.current(time.Now()); err != nil {
		return nil, err
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k, nil
}

func kubeletURL(c KubeletConfig) string {
	scheme, host := "https", c.Host
	if c.ReadOnly {
		scheme, host = "http", ""
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(c.Port)) + "/pods"
}

// Close ends a fetch that still runs and waits for its end.
func (k *Kubelet) Close() {
	k.cancel()
	k.busy.Wait()
	k.files.close()
}

// Begun returns the number of the last fetch that has begun: a list with a higher number is asked for after this call.
func (k *Kubelet) Begun() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.number
}

// Pods returns a list whose number is above newerThan: the last one if the next fetch may not begin yet, else that of a fetch which
// all callers share. An error is that of this fetch, which is never answered from an older list, or the cause of ctx. A caller that
// gives up does not disturb the others.
func (k *Kubelet) Pods(ctx context.Context, newerThan uint64) (*PodList, error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		f, list := k.join(newerThan)
		if list != nil {
			return list, nil
		}
		select {
		case <-f.done:
			if f.number > newerThan || f.number == 0 {
				return f.list, f.err
			}
		case <-ctx.Done():
			k.leave(f)
		}
	}
}

// join returns a list that is new enough, or the fetch to wait for. One that has begun already may be too old.
func (k *Kubelet) join(newerThan uint64) (*podFetch, *PodList) {
	k.mu.Lock()
	defer k.mu.Unlock()
	wait := k.wait()
	if k.list != nil && k.list.Number > newerThan && wait > 0 {
		return nil, k.list
	}
	if k.next == nil {
		f := &podFetch{done: make(chan struct{}), err: errFetchBroken}
		k.next = f
		k.busy.Add(1)
		k.config.Go("fetch of the pods", func() { k.run(f, wait) })
	}
	k.next.waiting++
	return k.next, nil
}

// wait returns how long no fetch may begin.
func (k *Kubelet) wait() time.Duration {
	if k.begun.IsZero() {
		return 0
	}
	return max(k.config.PollInterval-time.Since(k.begun), 0)
}

func (k *Kubelet) leave(f *podFetch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f.waiting--
}

// run makes a fetch when it may begin, if somebody still waits for it. It may end by a panic.
func (k *Kubelet) run(f *podFetch, wait time.Duration) {
	defer k.busy.Done()
	defer close(f.done)
	defer k.end(f)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-k.ctx.Done():
		f.err = errKubeletClosed
		return
	}
	if !k.start(f) {
		f.err = errKubeletClosed
		return
	}
	f.list, f.err = k.fetch(f.number)
	if k.config.Fetched != nil && k.ctx.Err() == nil {
		k.config.Fetched(f.list, f.err)
	}
}

// start reports whether a fetch is still wanted. Where it is not, nobody can join it any more.
func (k *Kubelet) start(f *podFetch) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.waiting == 0 {
		k.next = nil
		return false
	}
	k.number++
	f.number, k.begun, k.list = k.number, time.Now(), nil
	return true
}

func (k *Kubelet) end(f *podFetch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == f {
		k.next = nil
	}
	if f.err == nil {
		k.list = f.list
	}
}

func (k *Kubelet) fetch(number uint64) (*PodList, error) {
	ctx, cancel := context.WithTimeout(k.ctx, kubeletTimeout)
	defer cancel()
	client, token, err := k.files.current(time.Now())
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("unable to create request: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("unable to perform request: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxKubeletRefusal))
		return nil, fmt.Errorf("unexpected status code on pods response: %d %s", resp.StatusCode, bytes.TrimSpace(said))
	}
	list, _, err := decodePods(resp.Body, decodeOptions{completed: k.config.KeepCompleted})
	switch {
	case errors.Is(err, errNoObject), errors.Is(err, errNoItems):
		return nil, fmt.Errorf("invalid kubelet response: %w", err)
	case err != nil:
		return nil, fmt.Errorf("unable to parse kubelet response: %w", err)
	}
	list.Number = number
	return list, nil
}
