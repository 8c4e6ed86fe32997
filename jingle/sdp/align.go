package sdp

import "slices"

// Align returns s with its media descriptions in the order of previous: a rejected one stands for each that s does not
// have, and new ones come last. Contents of Jingle have no order and go away when they are removed, while the media
// descriptions of an answer are those of the offer, one by one (RFC 3264 section 6), and a later offer only adds to them
// (section 8). A place of a rejected one is not used again.
func (s *Session) Align(previous *Session) *Session {
	out := *s
	out.Media = nil
	taken := map[string]bool{}
	for i := range previous.Media {
		p := &previous.Media[i]
		mid := p.MID()
		j := slices.IndexFunc(s.Media, func(m Media) bool { return mid != "" && m.MID() == mid })
		if j < 0 || taken[mid] {
			out.Media = append(out.Media, p.Reject())
			continue
		}
		taken[mid] = true
		out.Media = append(out.Media, s.Media[j])
	}
	for _, m := range s.Media {
		if !taken[m.MID()] {
			out.Media = append(out.Media, m)
		}
	}
	return &out
}
