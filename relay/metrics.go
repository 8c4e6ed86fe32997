package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// collector reads every counter when it is asked. No label ever holds a user or an address, so the number of series
// is fixed.
type collector struct{ r *Relay }

func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c collector) Collect(ch chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, name, help string, v float64, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("jingle_relay_"+name, help, names, nil), kind, v, values...)
	}
	total := func(name, help string, v uint64, labels ...string) {
		send(prometheus.CounterValue, name, help, float64(v), labels...)
	}
	gauge := func(name, help string, v float64, labels ...string) {
		send(prometheus.GaugeValue, name, help, v, labels...)
	}
	s := c.r.Status()
	t := s.TURN
	gauge("allocations", "TURN allocations.", float64(t.Allocations))
	gauge("stream_clients", "TCP, TLS and DTLS clients.", float64(t.Streams))
	gauge("ports_free", "Free relayed ports over all relay addresses.", float64(t.PortsFree))
	total("allocations_total", "TURN allocations made.", t.AllocationsTotal)
	for m, n := range t.Requests {
		total("requests_total", "STUN and TURN requests.", n, "method", m)
	}
	for code, n := range t.ErrorCodes {
		total("errors_total", "STUN and TURN error answers.", n, "code", strconv.Itoa(code))
	}
	const packets, bytes, batches = "Packets relayed.", "Payload bytes relayed.", "System calls that sent relayed packets."
	total("packets_total", packets, t.PacketsToPeer, "direction", "to_peer")
	total("packets_total", packets, t.PacketsToClient, "direction", "to_client")
	total("bytes_total", bytes, t.BytesToPeer, "direction", "to_peer")
	total("bytes_total", bytes, t.BytesToClient, "direction", "to_client")
	total("batches_total", batches, t.BatchesToPeer, "direction", "to_peer")
	total("batches_total", batches, t.BatchesToClient, "direction", "to_client")
	for reason, n := range map[string]uint64{
		"permission": t.DroppedPermission, "bandwidth": t.DroppedBandwidth, "malformed": t.DroppedMalformed, "unknown": t.DroppedUnknown,
		"rate": t.DroppedRate, "send": t.DroppedSend, "slow_client": t.DroppedSlowClient, "receive_buffer": t.ReceiveBufferDrops,
	} {
		total("dropped_total", "Packets and requests dropped, by reason. receive_buffer is what the kernel dropped before the relay saw it.", n, "reason", reason)
	}
	total("auth_failures_total", "Requests with a wrong or unknown credential.", t.AuthFailures)
	if at := c.r.certs.notAfter(); !at.IsZero() {
		gauge("certificate_expires_seconds", "When the certificate of tls.certificate expires, in seconds since 1970.", float64(at.Unix()))
	}
	total("handshake_errors_total", "TLS, DTLS and PROXY handshakes that failed.", t.HandshakeErrors)
	total("streams_refused_total", "TCP, TLS and DTLS clients over a limit.", t.StreamsRefused)
	total("offload_packets_total", "Packets relayed in the kernel; also in packets_total.", t.OffloadPackets)
	if p := s.SOCKS5; p != nil {
		gauge("socks5_streams", "Bytestreams.", float64(p.Streams))
		gauge("socks5_pending", "Bytestream connections that wait for their other party.", float64(p.Pending))
		total("socks5_streams_total", "Bytestreams activated.", p.StreamsTotal)
		total("socks5_bytes_total", "Bytes of bytestreams, both directions.", p.Bytes)
		total("socks5_refused_total", "Bytestream connections over a limit or banned.", p.Refused)
		total("socks5_handshake_errors_total", "Bytestream handshakes that failed.", p.HandshakeErrors)
		total("socks5_expired_total", "Bytestream connections that nobody activated.", p.Expired)
		total("socks5_activation_errors_total", "Activations refused.", p.ActivationErrors)
	}
	if x := s.XMPP; x != nil {
		gauge("xmpp_connected", "1 while joined to the XMPP server.", bit(x.Connected))
		total("xmpp_connects_total", "Times the XMPP server was joined.", x.Connects)
		total("xmpp_answers_total", "XMPP requests answered.", x.Answered)
		total("xmpp_dropped_total", "Answers that the XMPP server did not take in time.", x.Dropped)
	}
	if s.Fleet != nil {
		gauge("fleet_connected", "1 while limits are shared with the fleet.", bit(*s.Fleet))
	}
	gauge("sessions", "Allocations and bytestreams that count for the limits.", float64(s.Sessions))
	total("refused_total", "Sessions refused by a limit or ban.", c.r.limits.Refused())
	gauge("bans", "Users and address prefixes kept out.", float64(s.Bans))
	gauge("draining", "1 while no new sessions are taken.", bit(s.Draining))
	total("journal_lines_lost_total", "Lines that the records or the access log lost.", s.LinesLost)
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (r *Relay) metricsHandler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{r}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	mux.HandleFunc("GET /healthz", r.health)
	return mux
}

// health is 200 while new sessions are taken. That the XMPP server or the fleet's store is away does not make a relay
// useless, so it is told but does not count.
func (r *Relay) health(w http.ResponseWriter, _ *http.Request) {
	state := "ok"
	on, _ := r.drain.state()
	select {
	case <-r.ready:
		if on {
			state = "draining"
		}
	default:
		state = "starting"
	}
	out := map[string]any{"state": state, "sessions": r.limits.Sessions()}
	if c := r.component.Load(); c != nil {
		out["xmpp"] = c.Connected()
	}
	if r.fleet != nil {
		out["fleet"] = r.fleet.Healthy()
	}
	w.Header().Set("Content-Type", "application/json")
	if state != "ok" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (r *Relay) listenMetrics() (net.Listener, error) {
	a := r.plan.cfg.Metrics.Listen
	if !a.IsValid() {
		return nil, nil
	}
	ln, err := net.Listen("tcp", a.String())
	if err != nil {
		return nil, fmt.Errorf("metrics.listen: %w", err)
	}
	if !a.Addr().IsLoopback() {
		r.log.Warn("metrics are open to everybody who can reach their port", "address", a)
	}
	return ln, nil
}

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		// The request that ended us, such as a drain, gets its answer.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(ln)
	if !stop() {
		<-ended
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}
