package recordstest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// TooBig tests what becomes of records that are larger than they may be.
func (s *Subject) TooBig(t *testing.T) {
	t.Run("split", s.bigSplit)
	t.Run("split, and refused", s.bigSplitAgain)
	t.Run("drop", s.bigDrop)
}

const bigLimit = 8 << 10

// big are options for a small limit, some of which apply to one plugin alone.
func (s *Subject) big(what string, opts ...string) []string {
	opts = append([]string{"too_big", what, "max_record_size", fmt.Sprint(bigLimit), "aggregation_max_size", "4K"}, opts...)
	if s.Keys {
		opts = append(opts, "partition_key", "key", "append_newline", "true")
	}
	return opts
}

// Joined puts the parts among some texts together, in their order, and returns
// the texts with the joined ones where their first part was. number is how many
// parts there were.
func Joined(t testing.TB, texts []string) (joined []string, number int) {
	t.Helper()
	at, next := make(map[string]int), make(map[string]int)
	for _, text := range texts {
		var p struct {
			Part, Parts int
			ID, Text    string
		}
		if n, _ := fmt.Sscanf(text, "[part %d of %d of %16s", &p.Part, &p.Parts, &p.ID); n == 3 {
			_, p.Text, _ = strings.Cut(text, "] ")
		} else if !strings.HasPrefix(text, `{"part":`) || json.Unmarshal([]byte(text), &p) != nil {
			joined = append(joined, text)
			continue
		}
		number++
		if p.Part == 1 {
			at[p.ID] = len(joined)
			joined = append(joined, "")
		}
		if next[p.ID]++; p.Part != next[p.ID] || p.Part > p.Parts {
			t.Errorf("part %d of %d of %s comes as number %d", p.Part, p.Parts, p.ID, next[p.ID])
		}
		joined[at[p.ID]] += p.Text
	}
	return joined, number
}

// What is split can be joined again, whatever the form of records.
func (s *Subject) bigSplit(t *testing.T) {
	noise, repeats := Noise(3, 20_000), strings.Repeat("\"repeats\"\n日本 ", 3_000)
	forms := [][]string{nil, {"simple_aggregation", "true"}}
	if s.Keys {
		forms = append(forms, []string{"aggregation", "true"})
	}
	for _, name := range append([]string{"none"}, Compressions...) {
		for _, form := range forms {
			for _, whole := range []bool{false, true} {
				t.Run(fmt.Sprint(name, form, whole), func(t *testing.T) {
					opts := s.big("split", append([]string{"compression", name}, form...)...)
					if !whole {
						opts = append(opts, LogKey...)
					}
					r := s.Start(t, awslocal.Config{}, opts...)
					var bodies []any
					var want []string
					for _, text := range []string{"before", noise, "between", repeats, "after", noise} {
						body := Map{"log", text, "key", "k"}
						bodies = append(bodies, body)
						if whole {
							quoted, _ := json.Marshal(text)
							text = fmt.Sprintf(`{"log":%s,"key":"k"}`, strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(quoted)))
						}
						want = append(want, text)
					}
					r.Want(delivery.OK, Chunk(bodies...))
					var texts []string
					for _, rec := range r.Received() {
						if size := len(rec.Key) + len(rec.Data); size > bigLimit {
							t.Errorf("%d bytes, limit is %d", size, bigLimit)
						}
						datas := []string{rec.Data}
						if len(form) > 0 && form[0] == "aggregation" {
							datas = s.Deaggregate(t, rec)
						}
						for _, data := range datas {
							text, ended := strings.CutSuffix(Decompress(t, name, data), "\n")
							if !ended {
								t.Errorf("no newline at the end of %.40q", text)
							}
							texts = append(texts, lines(text, len(form) > 0 && form[0] == "simple_aggregation", whole)...)
						}
					}
					got, parts := Joined(t, texts)
					if !slices.Equal(got, want) {
						t.Errorf("got %d records of %d texts, want %d: %.60q", len(got), len(texts), len(want), got)
					}
					// As many as are needed, and not many more.
					least, most := 2*len(noise)/bigLimit, 8*len(noise)/bigLimit
					if name == "none" {
						least, most = least+len(repeats)/bigLimit, most+4*len(repeats)/bigLimit
					}
					if parts < least || parts > most {
						t.Errorf("%d parts, want %d to %d", parts, least, most)
					}
					r.Account(6, 6, 0)
					r.WantCount(delivery.Truncated, 0)
					split := 3
					if name != "none" && r.Get(delivery.Parted) == 2 {
						split = 2 // what repeats fits when it is compressed
					}
					r.WantCount(delivery.Parted, split)
					r.Log.Want(t, "warning", "is larger than option max_record_size, 8192 bytes, and is sent in parts")
				})
			}
		}
	}
}

// lines parts what was put together by simple_aggregation: with newlines in the
// texts themselves, where a new one begins.
func lines(text string, together, whole bool) (all []string) {
	if !together {
		return []string{text}
	}
	for _, line := range strings.Split(text, "\n") {
		begins := whole || len(all) == 0 || strings.HasPrefix(line, "[part ") || slices.Contains([]string{"before", "between", "after"}, line)
		if begins {
			all = append(all, line)
		} else {
			all[len(all)-1] += "\n" + line
		}
	}
	return all
}

// Of a record in parts, only the parts that were refused go again, within a flush
// and when the chunk comes again; it counts as one all the time.
func (s *Subject) bigSplitAgain(t *testing.T) {
	r := s.Start(t, awslocal.Config{KeepBodies: true}, s.big("split", append([]string{"retry_budget", "0"}, LogKey...)...)...)
	big := Noise(5, 20_000)
	c := Chunk(Map{"log", "small", "key", "k"}, Map{"log", big, "key", "k"}, Map{"log", "last", "key", "k"})
	r.Fault(awslocal.Fault{Kind: awslocal.Partial, Code: "InternalFailure", Entries: []int{1, 3}})
	r.Want(delivery.Retry, c)
	r.Account(3, 2, 1)
	r.Want(delivery.OK, c)
	r.Account(3, 3, 0)
	calls := sentIn(t, r.Calls())
	if len(calls) != 2 || len(calls[1]) != 2 || calls[1][0] != calls[0][1] || calls[1][1] != calls[0][3] {
		t.Errorf("got calls of %d records, the second one of %d", len(calls), len(calls[len(calls)-1]))
	}
	var texts []string
	for _, data := range r.Data() {
		texts = append(texts, strings.TrimSuffix(data, "\n"))
	}
	slices.Sort(texts)
	got, _ := Joined(t, texts)
	if !slices.Equal(got, []string{big, "last", "small"}) {
		t.Errorf("got %.40q", got)
	}
}

func (s *Subject) bigDrop(t *testing.T) {
	for _, name := range []string{"none", "snappy"} {
		for _, together := range []string{"false", "true"} {
			r := s.Start(t, awslocal.Config{}, s.big("drop", append([]string{"compression", name, "simple_aggregation", together}, LogKey...)...)...)
			r.Want(delivery.OK, Chunk(Line(Noise(1, 20_000)), Line(Noise(2, 20_000)), Line("small")))
			if got := r.Data(); len(got) != 1 || Decompress(t, name, got[0]) != "small\n" {
				t.Errorf("%s: got %d records", name, len(got))
			}
			r.Account(3, 1, 0, delivery.TooLarge, 2)
			r.WantCount(delivery.Truncated, 0)
			r.Log.Want(t, "warning", "was dropped: it is larger than option max_record_size, 8192 bytes")
		}
	}
}
