package alloc

// timers is a heap of allocations by deadline. An allocation knows its place, so a refresh costs a logarithm.
type timers []*Allocation

func (h timers) first() *Allocation {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

func (h *timers) add(a *Allocation) {
	a.heap = len(*h)
	*h = append(*h, a)
	h.up(a.heap)
}

func (h *timers) remove(a *Allocation) {
	i, last := a.heap, len(*h)-1
	if i < 0 || i > last || (*h)[i] != a {
		return
	}
	(*h)[i] = (*h)[last]
	(*h)[i].heap = i
	(*h)[last] = nil
	*h = (*h)[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
	a.heap = -1
}

func (h *timers) fix(a *Allocation) {
	if a.heap < len(*h) && a.heap >= 0 && (*h)[a.heap] == a {
		h.down(a.heap)
		h.up(a.heap)
	}
}

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = i, j
}

func (h timers) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if h[p].due <= h[i].due {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h timers) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].due < h[c].due {
			c++
		}
		if h[i].due <= h[c].due {
			return
		}
		h.swap(i, c)
		i = c
	}
}
