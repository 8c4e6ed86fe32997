package rtp

import "slices"

// Merge returns what holds after a description-info (XEP-0167 section 9). It is advice: parameters, packet times and
// bandwidths of encodings that are in use change, everything else in info is passed over, and nothing fails. changed
// lists the ids of the payload types that are different now.
func Merge(current, info Description) (merged Description, changed []uint8) {
	if !sameMedia(current.Media, info.Media) {
		return current, nil
	}
	merged = current
	merged.layout = nil
	merged.PayloadTypes = slices.Clone(current.PayloadTypes)
	for _, n := range usable(info.PayloadTypes) {
		i := slices.IndexFunc(merged.PayloadTypes, func(p PayloadType) bool { return p.ID == n.ID })
		if i < 0 || merged.PayloadTypes[i].codec().name != n.codec().name {
			continue
		}
		if p, different := merged.PayloadTypes[i].merge(n); different {
			merged.PayloadTypes[i] = p
			changed = append(changed, p.ID)
		}
	}
	merged.Bandwidths = slices.Clone(current.Bandwidths)
	for _, b := range info.Bandwidths {
		i := slices.IndexFunc(merged.Bandwidths, func(o Bandwidth) bool { return o.Type == b.Type })
		switch {
		case i >= 0:
			merged.Bandwidths[i] = b
		case len(merged.Bandwidths) < maxBandwidths:
			merged.Bandwidths = append(merged.Bandwidths, b)
		}
	}
	return merged, changed
}

// Bounds of what a peer can make grow by one description-info after the other.
const (
	maxBandwidths = 8
	maxParameters = 64
)

// merge takes over the parameters of n. Those that n does not name stay, as the examples of XEP-0167 send either the
// changed ones only (14) or all (52).
func (p PayloadType) merge(n PayloadType) (PayloadType, bool) {
	different := false
	set := func(v *uint32, to uint32) {
		if to != 0 && *v != to {
			*v, different = to, true
		}
	}
	set(&p.PTime, n.PTime)
	set(&p.MaxPTime, n.MaxPTime)
	ps := slices.Clone(p.Parameters)
	for _, q := range n.Parameters {
		i := slices.IndexFunc(ps, func(o Parameter) bool { return o.Name == q.Name })
		switch {
		case i < 0 && len(ps) < maxParameters:
			ps = append(ps, q)
			different = true
		case i >= 0 && ps[i] != q:
			ps[i] = q
			different = true
		}
	}
	p.Parameters = ps
	p.layout = nil
	return p, different
}
