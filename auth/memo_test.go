package auth

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAMemoIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memo[int]
		fill := func(from, to int, holds time.Duration) {
			for i := from; i < to; i++ {
				_, err := m.get(digestOf(fmt.Sprint(i)), func() (int, time.Duration, error) { return i, holds, nil })
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		fill(0, maxRemembered, time.Hour)
		fill(maxRemembered, 2*maxRemembered, time.Hour)
		if len(m.answers) != maxRemembered {
			t.Errorf("%d answers", len(m.answers))
		}
	})
}

func TestWhatWasForgottenOnItsWayIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which notices when all wait for each other
		var m memo[string]
		question := digestOf("may ada see conversation 7?")
		asking, answer := make(chan struct{}), make(chan struct{})
		first := make(chan string)
		go func() {
			got, _ := m.get(question, func() (string, time.Duration, error) {
				close(asking)
				<-answer
				return "yes, as of before", time.Hour, nil
			})
			first <- got
		}()
		<-asking
		m.forget()
		// Who asks now does not wait for the old answer.
		got, _ := m.get(question, func() (string, time.Duration, error) { return "no", 0, nil })
		if got != "no" {
			t.Errorf("got %q", got)
		}
		close(answer)
		if got := <-first; got != "yes, as of before" {
			t.Errorf("got %q", got)
		}
		got, _ = m.get(question, func() (string, time.Duration, error) { return "still no", time.Hour, nil })
		if got != "still no" {
			t.Errorf("the old answer was remembered: %q", got)
		}
		m.forget()
		got, _ = m.get(question, func() (string, time.Duration, error) { return "yes again", time.Hour, nil })
		if got != "yes again" {
			t.Errorf("the answer was not forgotten: %q", got)
		}
	})
}

func TestDifferentQuestionsHaveDifferentDigests(t *testing.T) {
	seen := map[digest][]string{}
	zeros := strings.Repeat("\x00", 8)
	for _, parts := range [][]string{
		nil, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"a" + zeros + "b"}, {"ab", "c"}, {"a", "bc"}, {zeros},
	} {
		d := digestOf(parts...)
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have the same digest", parts, other)
		}
		seen[d] = parts
	}
}
