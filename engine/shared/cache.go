package shared

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/engine"
)

// Event is something that happens to a question or to an answer, to be counted.
type Event int

// What is counted. Each question to the cache is one of the first five, each answer for it one of the others.
const (
	Hit     Event = iota // the cache had an entry that was made for this question
	Miss                 // it had none
	Refused              // what it had is forged, too large or out of date; counted beside Hit where it is the engine that refuses it
	Failed               // it did not answer in time, or not as a cache does
	Skipped              // it was not asked, since it is away
	Kept                 // stored
	Dropped              // not stored: too many waited, or it is away
	Unkept               // it did not store, or it could not be said what
	events
)

// Config is what a Cache is made of.
type Config struct {
	Address Address
	Program string       // the version of the program: what another version decided does not count
	Log     *slog.Logger // nil: nothing is logged
	Count   func(Event)  // told of each event, by many goroutines; nil: nobody is
	Now     func() time.Time

	wait    time.Duration // in place of RecallWait, where a test is not about it
	network network       // nil: the host's; tests have another
}

// network connects to an address.
type network func(ctx context.Context, network, address string) (net.Conn, error)

// Settings are what can change while a cache is in use. They are not changed after that.
type Settings struct {
	Keys     Keys
	User     string      // "": the cache's default user
	Password string      // "": the cache asks for none
	TLS      *tls.Config // with what a server's certificate is checked; nil: the host's authorities
}

// Cache is an engine.Shared. It is safe for concurrent use.
type Cache struct {
	config   Config
	settings atomic.Pointer[Settings]
	pool     *pool
	recalls  outage
	keeps    outage
	queue    chan kept
	ctx      context.Context
	end      context.CancelFunc
	group    sync.WaitGroup
}

// kept is an answer that waits to be stored.
type kept struct {
	key    engine.SharedKey
	answer engine.SharedAnswer
}

var _ engine.Shared = (*Cache)(nil)

// New returns a cache, which is connected to in the background. Settings without keys are an error. Close ends it.
func New(c Config, s Settings) (*Cache, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Count == nil {
		c.Count = func(Event) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.wait == 0 {
		c.wait = RecallWait
	}
	if c.network == nil {
		c.network = (&net.Dialer{}).DialContext
	}
	made := &Cache{config: c, queue: make(chan kept, MaxQueue)}
	made.recalls = outage{what: "recalling", log: c.Log, now: c.Now}
	made.keeps = outage{what: "keeping", log: c.Log, now: c.Now}
	made.ctx, made.end = context.WithCancel(context.Background())
	made.pool = newPool(made.dial)
	if err := made.Use(s); err != nil {
		return nil, err
	}
	made.group.Go(made.greet)
	made.group.Go(made.keepAll)
	return made, nil
}

// greet connects for the first time, so that no question waits for that, and so that people learn at once that it does not work.
func (c *Cache) greet() {
	ctx, cancel := context.WithTimeout(c.ctx, dialWait)
	defer cancel()
	conn, err := c.pool.take(ctx)
	switch {
	case err == nil:
		c.pool.put(conn)
	case c.ctx.Err() == nil:
		c.recalls.gone(err)
	}
}

// Use has new settings count from now on.
func (c *Cache) Use(s Settings) error {
	if len(s.Keys.list) == 0 {
		return errors.New("a shared cache needs a key")
	}
	if s.User != "" && s.Password == "" {
		return errors.New("a user needs a password")
	}
	c.settings.Store(&s)
	c.pool.renew()
	return nil
}

// Away reports whether the cache is not asked, and whether it is not told, since it failed.
func (c *Cache) Away() (recalling, keeping bool) { return c.recalls.isAway(), c.keeps.isAway() }

// Close ends what the cache does in the background. Answers that wait to be stored are dropped.
func (c *Cache) Close() {
	c.end()
	c.pool.close()
	c.group.Wait()
}

// Recall implements engine.Shared. It takes RecallWait at most.
func (c *Cache) Recall(ctx context.Context, key engine.SharedKey) (answer engine.SharedAnswer, found bool) {
	event := Failed
	defer func() {
		if v := recover(); v != nil {
			c.recalls.broke(fmt.Errorf("bug: %v", v))
			event, found = Failed, false
		}
		c.config.Count(event)
	}()
	if !c.recalls.allows() {
		event = Skipped
		return engine.SharedAnswer{}, false
	}
	waits, cancel := context.WithTimeout(ctx, c.config.wait)
	defer cancel()
	s := c.settings.Load()
	names, entries, err := c.get(waits, s, key)
	var tooLarge tooLargeError
	switch {
	case err != nil && ctx.Err() != nil, errors.Is(err, errBusy), errors.Is(err, errClosed): // nobody waits for it any more, or too many do
		return engine.SharedAnswer{}, false
	case errors.As(err, &tooLarge):
		event = Refused
		c.recalls.worked()
		return engine.SharedAnswer{}, false
	case err != nil:
		c.recalls.broke(err)
		return engine.SharedAnswer{}, false
	}
	c.recalls.worked()
	event = Miss
	for i := range entries {
		if !entries[i].found {
			continue
		}
		if answer, err = s.Keys.list[i].read(names[i], entries[i].bytes); err == nil {
			event = Hit
			return answer, true
		}
		event = Refused
		c.refused(err)
	}
	return engine.SharedAnswer{}, false
}

// get asks for the entries of a question, one for each secret.
func (c *Cache) get(ctx context.Context, s *Settings, key engine.SharedKey) (names []string, entries []reply, err error) {
	commands := make([][]string, len(s.Keys.list))
	for i := range s.Keys.list {
		names = append(names, s.Keys.list[i].name(c.config.Program, key))
		commands[i] = []string{"GET", names[i]}
	}
	entries, err = c.ask(ctx, MaxEntry, commands...)
	return names, entries, err
}

// read returns what an entry says.
func (s *secret) read(name string, entry []byte) (engine.SharedAnswer, error) {
	text, err := s.open(name, entry)
	if err != nil {
		return engine.SharedAnswer{}, err
	}
	return decode(text)
}

// Refused implements engine.Shared.
func (c *Cache) Refused(_ engine.SharedKey, why error) {
	c.config.Count(Refused)
	c.refused(why)
}

func (c *Cache) refused(why error) {
	c.config.Log.Debug("an entry of the shared cache does not count", "why", why.Error())
}

// Keep implements engine.Shared.
func (c *Cache) Keep(key engine.SharedKey, answer engine.SharedAnswer) {
	select {
	case c.queue <- kept{key, answer}:
	default:
		c.config.Count(Dropped)
	}
}

// keepAll stores answers, one after another.
func (c *Cache) keepAll() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case k := <-c.queue:
			c.config.Count(c.keep(k))
		}
	}
}

// keep stores one answer.
func (c *Cache) keep(k kept) (event Event) {
	defer func() {
		if v := recover(); v != nil {
			c.keeps.broke(fmt.Errorf("bug: %v", v))
			event = Unkept
		}
	}()
	holds := k.answer.Until.Sub(c.config.Now())
	if holds < keptAtLeast || !c.keeps.allows() {
		return Dropped
	}
	first := &c.settings.Load().Keys.list[0]
	name := first.name(c.config.Program, k.key)
	text, err := encode(k.answer)
	if err != nil {
		c.refused(err)
		return Unkept
	}
	entry, err := first.seal(name, text)
	if err != nil || len(entry) > MaxEntry {
		return Unkept
	}
	waits, cancel := context.WithTimeout(c.ctx, keepWait)
	defer cancel()
	said, err := c.ask(waits, maxLine, []string{"SET", name, string(entry), "PX", strconv.FormatInt(holds.Milliseconds(), 10)})
	if err == nil && string(said[0].bytes) != "OK" {
		err = errProtocol
	}
	if err != nil {
		if c.ctx.Err() == nil && !errors.Is(err, errBusy) {
			c.keeps.broke(err)
		}
		return Unkept
	}
	c.keeps.worked()
	return Kept
}

// ask sends commands over one connection. A complaint about one of them is an error.
func (c *Cache) ask(ctx context.Context, limit int, commands ...[]string) ([]reply, error) {
	conn, err := c.pool.take(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	replies, err := conn.ask(limit, commands...)
	if err != nil {
		c.pool.drop(conn)
		return nil, err
	}
	c.pool.put(conn)
	return replies, complaints(replies)
}

func complaints(replies []reply) error {
	for i := range replies {
		if replies[i].err != nil {
			return replies[i].err
		}
	}
	return nil
}

// dial makes a connection and logs in.
func (c *Cache) dial(ctx context.Context) (made *conn, err error) {
	s := c.settings.Load()
	raw, err := c.config.network(ctx, c.config.Address.network, c.config.Address.address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			_ = raw.Close()
		}
	}()
	if c.config.Address.tls {
		secured := tls.Client(raw, c.config.Address.verifying(s.TLS))
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		raw = secured
	}
	made = newConn(raw)
	return made, made.begin(s, c.config.Address.database)
}

// begin logs in and chooses the database.
func (c *conn) begin(s *Settings, database string) error {
	var commands [][]string
	switch {
	case s.User != "":
		commands = append(commands, []string{"AUTH", s.User, s.Password})
	case s.Password != "":
		commands = append(commands, []string{"AUTH", s.Password})
	}
	if database != "" {
		commands = append(commands, []string{"SELECT", database})
	}
	if len(commands) == 0 {
		return nil
	}
	replies, err := c.ask(maxLine, commands...)
	if err != nil {
		return err
	}
	if said := replies[0].err; said != nil && s.Password != "" {
		return fmt.Errorf("the cache refuses the user and the password: %s", kindOf(said))
	}
	return complaints(replies)
}

// kindOf is the word by which a complaint begins, if it is a known one. The rest can be what the cache was told, password included.
func kindOf(said error) string {
	for _, kind := range []string{"WRONGPASS", "NOAUTH", "NOPERM", "LOADING", "MASTERDOWN", "BUSY", "DENIED"} {
		if strings.HasPrefix(said.Error(), complaint(kind+" ").Error()) {
			return kind
		}
	}
	return "ERR"
}
