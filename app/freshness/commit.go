package freshness

import (
	"fmt"
	"strconv"
	"strings"
)

// Commit names a committed transaction. An id alone does not: after a crash, a restore or a
// promotion the same id may be given out again, so the epoch says in which line of history it was.
// An epoch of zero is unknown.
type Commit struct {
	Epoch Epoch
	XID   XID
}

// String is the commit as ParseCommit reads it: the id in decimal and, if the epoch is known, a
// dash and the epoch in 16 hexadecimal digits.
func (c Commit) String() string {
	if c.Epoch == 0 {
		return c.XID.String()
	}
	return c.XID.String() + "-" + c.Epoch.String()
}

// ParseCommit reads what String prints. It returns an error that quotes text for anything else.
func ParseCommit(text string) (Commit, error) {
	id, epoch, named := strings.Cut(text, "-")
	x, err := ParseXID(id)
	if err != nil {
		return Commit{}, fmt.Errorf("commit %q does not begin with a transaction id of 64 bits", text)
	}
	if !named {
		return Commit{XID: x}, nil
	}
	n, err := strconv.ParseUint(epoch, 16, 64)
	if err != nil || len(epoch) != 16 {
		return Commit{}, fmt.Errorf("commit %q does not end with an epoch of 16 hexadecimal digits", text)
	}
	return Commit{Epoch: Epoch(n), XID: x}, nil
}
