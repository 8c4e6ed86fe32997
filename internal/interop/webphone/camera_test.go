package webphone

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"testing"
)

// writeCamera draws a film of somebody who sways a little before a wall, for Chromium's fake camera, as YUV4MPEG2.
func writeCamera(t *testing.T, path string, width int, wall, shirt [3]float64) {
	t.Helper()
	const frames = 24
	height := width / 16 * 9
	scale := 640 / float64(width)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintf(w, "YUV4MPEG2 W%d H%d F12:1 Ip A1:1 C420jpeg\n", width, height)
	y, u, v := make([]byte, width*height), make([]byte, width*height/4), make([]byte, width*height/4)
	for frame := range frames {
		sway := 7 * math.Sin(2*math.Pi*float64(frame)/frames)
		for py := range height {
			for px := range width {
				c := scene(float64(px)*scale, float64(py)*scale, sway, wall, shirt)
				y[py*width+px] = byte(0.299*c[0] + 0.587*c[1] + 0.114*c[2])
				if px%2 == 0 && py%2 == 0 {
					i := py/2*width/2 + px/2
					u[i] = byte(128 - 0.169*c[0] - 0.331*c[1] + 0.5*c[2])
					v[i] = byte(128 + 0.5*c[0] - 0.419*c[1] - 0.081*c[2])
				}
			}
		}
		fmt.Fprint(w, "FRAME\n")
		for _, plane := range [][]byte{y, u, v} {
			_, _ = w.Write(plane)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// scene is the colour of one point: a wall that is lit from one side, shoulders, a neck and a head with hair.
func scene(x, y, sway float64, wall, shirt [3]float64) [3]float64 {
	light := 1.12 - 0.45*math.Hypot(x-150, y-60)/700
	c := [3]float64{wall[0] * light, wall[1] * light, wall[2] * light}
	over := func(distance float64, colour [3]float64) {
		a := min(1, max(0, 0.5-distance/2)) // a soft edge
		for i := range c {
			c[i] += a * (colour[i] - c[i])
		}
	}
	ellipse := func(cx, cy, rx, ry float64) float64 {
		return (math.Hypot((x-cx-sway)/rx, (y-cy)/ry) - 1) * min(rx, ry)
	}
	skin := [3]float64{222, 172, 140}
	over(ellipse(320, 392, 172, 132), shirt)
	over(ellipse(320, 268, 34, 46), [3]float64{196, 146, 116})
	over(ellipse(320, 142, 80, 90), [3]float64{58, 42, 36})
	over(ellipse(320, 172, 62, 82), skin)
	over(ellipse(298, 162, 6, 7), [3]float64{52, 40, 38})
	over(ellipse(342, 162, 6, 7), [3]float64{52, 40, 38})
	over(max(ellipse(320, 204, 24, 16), 204-y), [3]float64{176, 84, 78})
	return c
}
