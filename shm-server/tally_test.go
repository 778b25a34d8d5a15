package main

import "testing"

func TestTallyCountsNumberedMessages(t *testing.T) {
	for name, test := range map[string]struct {
		texts []string
		want  tally
	}{
		"nothing":             {nil, tally{}},
		"texts without":       {[]string{"", "hello", "# 1", "#", "#x y #x", "#-1 a #-1", "1 a 1", "quit"}, tally{}},
		"one after another":   {[]string{"#1 a #1", "#2  #2", "#3 a b #3 #3"}, tally{whole: 3, last: 3}},
		"some left out":       {[]string{"#1 a #1", "#3 c #3", "#10 j #10"}, tally{whole: 3, lost: 7, last: 10}},
		"the first left out":  {[]string{"#3 c #3"}, tally{whole: 1, lost: 2, last: 3}},
		"one again":           {[]string{"#1 a #1", "#2 b #2", "#2 b #2", "#3 c #3"}, tally{whole: 4, repeated: 1, last: 3}},
		"an old one":          {[]string{"#1 a #1", "#2 b #2", "#3 c #3", "#2 b #2"}, tally{whole: 4, repeated: 1, last: 3}},
		"another client":      {[]string{"#1 a #1", "#2 b #2", "#1 a #1", "#2 b #2"}, tally{whole: 4, last: 2}},
		"half of one":         {[]string{"#1 he"}, tally{torn: 1}},
		"half of two":         {[]string{"#1 hello #1", "#2 wollo #1", "#2 world #2"}, tally{whole: 2, torn: 1, last: 2}},
		"one and two digits":  {[]string{"#9 hello #9", "#10 yello #9", "#10 yes #10 #1"}, tally{whole: 1, torn: 2, lost: 8, last: 9}},
		"nothing between":     {[]string{"#1", "#1 ", "#1 #1"}, tally{torn: 3}},
		"a number too large":  {[]string{"#99999999999999999999 a #99999999999999999999"}, tally{}},
		"texts between count": {[]string{"#1 a #1", "plain", "#2 b #2"}, tally{whole: 2, last: 2}},
	} {
		var got tally
		for _, text := range test.texts {
			got.message([]byte(text))
		}
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
