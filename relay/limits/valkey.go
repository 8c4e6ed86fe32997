package limits

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"
)

// ValkeyConfig says where the fleet's Valkey (or Redis 6.2 and later) is.
type ValkeyConfig struct {
	Addresses []string // host:port, at least one; several of a cluster
	Username  string
	Password  string
	TLS       *tls.Config // nil: no TLS
	Prefix    string      // of all keys, default "jingle-relay"
	Node      string      // this node's name, unique in the fleet; default random
	Logger    *slog.Logger

	// Lease is how long a session is counted after this node was last heard of, default 60 s. A third of it is how
	// often this node says so.
	Lease time.Duration
	// Poll is how often bans are read, default 2 s. A store that is away is tried again as often.
	Poll time.Duration
	// Timeout bounds one exchange, default 1 s.
	Timeout time.Duration
}

// Valkey is a [Fleet] in a Valkey or Redis server. A user's sessions are a sorted set of leases; bans are one sorted
// set by their end. What is written is always the node's whole truth about a user, so a lost write or a store that was
// emptied heals with the next one.
type Valkey struct {
	cfg     ValkeyConfig
	healthy atomic.Bool
	wake    chan struct{}

	mu    sync.Mutex
	dirty map[string]bool // users to tell of
	bans  map[string]Ban  // bans to tell of
}

// syncScript tells of one user's sessions. KEYS[1] the user's set; ARGV: node, lease in ms, limit, then the numbers of
// the sessions here. Sessions already known keep their place; new ones are taken in the order given while there is
// room. It returns how many other nodes have, and the numbers it refused. Time is the server's, so nodes' clocks do
// not matter.
var syncScript = valkey.NewLuaScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local node, lease, limit = ARGV[1] .. '/', tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local want = {}
for i = 4, #ARGV do want[node .. ARGV[i]] = true end
local others, mine = 0, {}
for _, m in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if string.sub(m, 1, #node) ~= node then others = others + 1
  elseif want[m] then mine[m] = true
  else redis.call('ZREM', KEYS[1], m) end
end
local count = others
for _ in pairs(mine) do count = count + 1 end
local reply = { others }
for i = 4, #ARGV do
  local m = node .. ARGV[i]
  if mine[m] or limit <= 0 or count < limit then
    if not mine[m] then count = count + 1 end
    redis.call('ZADD', KEYS[1], now + lease, m)
  else
    reply[#reply + 1] = ARGV[i]
  end
end
if count > 0 then redis.call('PEXPIRE', KEYS[1], lease) end
return reply`)

// banScript tells of bans and reads all. KEYS[1] the set; ARGV: pairs of end in unix ms (0: lift) and name.
var banScript = valkey.NewLuaScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 1, #ARGV, 2 do
  if tonumber(ARGV[i]) <= 0 then redis.call('ZREM', KEYS[1], ARGV[i + 1])
  else redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], -65536, -1, 'WITHSCORES')`)

// NewValkey returns a Fleet. The store need not be there yet.
func NewValkey(cfg ValkeyConfig) (*Valkey, error) {
	if len(cfg.Addresses) == 0 {
		return nil, errors.New("limits: no Valkey address given")
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "jingle-relay"
	}
	if cfg.Node == "" {
		var b [8]byte
		rand.Read(b[:])
		cfg.Node = hex.EncodeToString(b[:])
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&cfg.Lease, time.Minute)
	def(&cfg.Poll, 2*time.Second)
	def(&cfg.Timeout, time.Second)
	return &Valkey{cfg: cfg, wake: make(chan struct{}, 1), dirty: map[string]bool{}, bans: map[string]Ban{}}, nil
}

// Touch implements [Fleet].
func (v *Valkey) Touch(user string) {
	v.mu.Lock()
	v.dirty[user] = true
	v.mu.Unlock()
	v.poke()
}

// Ban implements [Fleet].
func (v *Valkey) Ban(b Ban) {
	v.mu.Lock()
	v.bans[b.key()] = b
	v.mu.Unlock()
	v.poke()
}

func (v *Valkey) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Healthy implements [Fleet].
func (v *Valkey) Healthy() bool { return v.healthy.Load() }

// Run implements [Fleet]. It returns when ctx ends, and takes this node's leases back if the store is there.
func (v *Valkey) Run(ctx context.Context, l *Limiter) error {
	var client valkey.Client
	defer func() {
		if client != nil {
			client.Close()
		}
	}()
	refresh := time.NewTicker(v.cfg.Lease / 3)
	defer refresh.Stop()
	poll := time.NewTicker(v.cfg.Poll)
	defer poll.Stop()
	refreshDue, pollDue := true, true
	for {
		// A store that is away is tried at the pace of poll alone: a session that begins must not cost a dial.
		if client == nil && pollDue {
			if client = v.dial(ctx); client != nil {
				refreshDue = true
			}
		}
		if client != nil {
			err := v.work(ctx, client, l, refreshDue, pollDue)
			if err == nil {
				refreshDue, pollDue = false, false
				v.setHealthy(true, nil)
			} else if ctx.Err() == nil {
				v.setHealthy(false, err)
				l.forgetOthers()
				client.Close()
				client = nil
			}
		}
		pollDue = pollDue && client != nil
		if client == nil {
			v.mu.Lock()
			clear(v.dirty) // everybody is told of after a reconnect
			v.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			if client != nil {
				v.leave(client, l)
			}
			v.healthy.Store(false)
			return ctx.Err()
		case <-refresh.C:
			refreshDue = true
		case <-poll.C:
			pollDue = true
		case <-v.wake:
		}
	}
}

func (v *Valkey) dial(ctx context.Context) valkey.Client {
	if ctx.Err() != nil {
		return nil
	}
	opt := valkey.ClientOption{
		InitAddress: v.cfg.Addresses, Username: v.cfg.Username, Password: v.cfg.Password, TLSConfig: v.cfg.TLS,
		ClientName: "jingle-relay", DisableCache: true, DisableRetry: true, ConnWriteTimeout: v.cfg.Timeout,
		ForceSingleClient: len(v.cfg.Addresses) == 1, PipelineMultiplex: -1,
	}
	opt.Dialer.Timeout = v.cfg.Timeout
	client, err := valkey.NewClient(opt)
	if err != nil {
		v.setHealthy(false, err)
		return nil
	}
	return client
}

func (v *Valkey) setHealthy(ok bool, err error) {
	if v.healthy.Swap(ok) == ok {
		return
	}
	if ok {
		v.cfg.Logger.Info("limits are shared with the fleet", "store", v.cfg.Addresses)
	} else {
		v.cfg.Logger.Warn("the fleet's store is away; limits hold on this node alone until it is back", "store", v.cfg.Addresses, "error", err)
	}
}

// work tells and asks what is due.
func (v *Valkey) work(ctx context.Context, c valkey.Client, l *Limiter, refresh, poll bool) error {
	v.mu.Lock()
	users, bans := v.dirty, v.bans
	v.dirty, v.bans = map[string]bool{}, map[string]Ban{}
	v.mu.Unlock()
	err := v.exchange(ctx, c, l, users, bans, refresh, poll)
	if err != nil { // what was not told is told again, unless it has been overtaken
		v.mu.Lock()
		for k, b := range bans {
			if _, newer := v.bans[k]; !newer {
				v.bans[k] = b
			}
		}
		v.mu.Unlock() // users are all told after a reconnect
	}
	return err
}

func (v *Valkey) exchange(ctx context.Context, c valkey.Client, l *Limiter, dirty map[string]bool, bans map[string]Ban, refresh, poll bool) error {
	if poll || len(bans) > 0 {
		if err := v.syncBans(ctx, c, l, bans); err != nil {
			return err
		}
	}
	if refresh {
		for _, u := range l.usersHere() {
			dirty[u] = true
		}
	}
	for batch := range slices.Chunk(slices.Collect(maps.Keys(dirty)), 64) {
		if err := v.syncUsers(ctx, c, l, batch); err != nil {
			return err
		}
	}
	return nil
}

func (v *Valkey) syncUsers(ctx context.Context, c valkey.Client, l *Limiter, users []string) error {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	execs := make([]valkey.LuaExec, 0, len(users))
	for _, u := range users {
		ids, limit := l.here(u)
		slices.Sort(ids) // older sessions keep their place first
		args := []string{v.cfg.Node, strconv.FormatInt(v.cfg.Lease.Milliseconds(), 10), strconv.Itoa(limit)}
		for _, id := range ids {
			args = append(args, strconv.FormatUint(id, 36))
		}
		execs = append(execs, valkey.LuaExec{Keys: []string{v.cfg.Prefix + ":user:" + u}, Args: args})
	}
	for i, r := range syncScript.ExecMulti(ctx, c, execs...) {
		reply, err := r.ToArray()
		if err != nil {
			return err
		}
		if len(reply) == 0 {
			return errors.New("limits: the store gave an empty answer")
		}
		others, err := reply[0].AsInt64()
		if err != nil {
			return err
		}
		var refused []uint64
		for _, m := range reply[1:] {
			text, err := m.ToString()
			if err != nil {
				return err
			}
			if id, err := strconv.ParseUint(text, 36, 64); err == nil {
				refused = append(refused, id)
			}
		}
		l.setOthers(users[i], int(others), refused)
	}
	return nil
}

func (v *Valkey) syncBans(ctx context.Context, c valkey.Client, l *Limiter, bans map[string]Ban) error {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	var args []string
	for k, b := range bans {
		end := int64(0)
		if !b.Until.IsZero() {
			end = b.Until.UnixMilli()
		}
		args = append(args, strconv.FormatInt(end, 10), k)
	}
	scores, err := banScript.Exec(ctx, c, []string{v.cfg.Prefix + ":bans"}, args).AsZScores()
	if err != nil {
		return err
	}
	var fleet []Ban
	for _, z := range scores {
		if b, ok := parseBan(z.Member, time.UnixMilli(int64(z.Score))); ok {
			fleet = append(fleet, b)
		}
	}
	v.mu.Lock()
	own := slices.Collect(maps.Values(v.bans))
	v.mu.Unlock()
	l.setBans(fleet, own)
	return nil
}

// leave gives this node's leases back, so that users are not counted twice after a restart.
func (v *Valkey) leave(c valkey.Client, l *Limiter) {
	ctx, cancel := context.WithTimeout(context.Background(), v.cfg.Timeout)
	defer cancel()
	var execs []valkey.LuaExec
	for _, u := range l.usersHere() {
		execs = append(execs, valkey.LuaExec{Keys: []string{v.cfg.Prefix + ":user:" + u}, Args: []string{v.cfg.Node, "1", "0"}})
	}
	if len(execs) > 0 {
		syncScript.ExecMulti(ctx, c, execs...)
	}
}
