package delivery

// maxRefused is how many single records a service refuses, with none of the
// same batch accepted, before that is taken for something else than the records.
const maxRefused = 16

// Batch is a call that can be parted.
type Batch[B any] interface {
	Len() int         // records of the call
	Split(i, j int) B // its records from i to j as a call of their own
	Free()            // nothing may use it any more
}

// Bisect finds the records for which the service refused a call as a whole: the
// halves of b are tried apart, until what is refused is one record, which goes
// to refuse. So one bad record costs one record, and some 2*log2(n) calls.
//
// Where nothing but refusals comes back it is not the records that are to
// blame. After 16 of them, with none accepted, one record stands for each part
// that is left: if that too is refused, its part goes to refuse untried.
//
// try returns Split for a call that was refused as a whole, and then has left
// in the batch only what is not settled. why is what was said of b, which
// Bisect does not free.
func Bisect[B Batch[B]](b B, why Verdict, try func(B) Verdict, refuse func(B, Verdict)) {
	s := bisection[B]{try: try, refuse: refuse}
	s.part(b, why)
}

type bisection[B Batch[B]] struct {
	try      func(B) Verdict
	refuse   func(B, Verdict)
	refused  int
	accepted bool
}

func (s *bisection[B]) part(b B, why Verdict) {
	if b.Len() == 1 {
		s.refused++
		s.refuse(b, why)
		return
	}
	middle := b.Len() / 2
	s.half(b.Split(0, middle), why)
	s.half(b.Split(middle, b.Len()), why)
}

func (s *bisection[B]) half(b B, why Verdict) {
	defer b.Free()
	if !s.accepted && s.refused >= maxRefused && b.Len() > 1 {
		s.sample(b, why)
		return
	}
	switch v := s.try(b); v.Action {
	case Done:
		s.accepted = true
	case Split:
		s.part(b, v)
	}
}

// sample tries the last record of b, and goes on with the others if it is accepted.
func (s *bisection[B]) sample(b B, why Verdict) {
	last := b.Len() - 1
	one := b.Split(last, last+1)
	defer one.Free()
	switch v := s.try(one); v.Action {
	case Done:
		s.accepted = true
		s.half(b.Split(0, last), why)
	case Split:
		s.refuse(b, v)
	}
}
