package policy

import "github.com/assay-dev/assay/image"

// maxBuckets is how many buckets of a reference are kept without asking for memory; longer names cost an allocation.
const maxBuckets = 16

// item is one pattern or expression of a rule, or all that it says of images made on the host.
type item struct {
	rule, index int32
	kind        itemKind
}

type itemKind int8

const (
	byPattern itemKind = iota
	byRegExp
	byLocal
)

// index files patterns under the buckets in which references look for them, each bucket in the order of the rules.
type index map[string][]item

func newIndex(rules []Rule) index {
	x := index{}
	for i, r := range rules {
		for j, p := range r.Images {
			key := p.Bucket()
			x[key] = append(x[key], item{rule: int32(i), index: int32(j)})
		}
		for j := range r.RegExps {
			x[""] = append(x[""], item{rule: int32(i), index: int32(j), kind: byRegExp})
		}
		if r.Local != nil {
			x[""] = append(x[""], item{rule: int32(i), kind: byLocal})
		}
	}
	return x
}

// candidates returns what can fit ref, in the order of the rules. It uses the memory of lists.
func (x index) candidates(ref image.Ref, lists [][]item) merged {
	var keys [maxBuckets]string
	for _, key := range ref.Buckets(keys[:0]) {
		if list := x[key]; len(list) > 0 {
			lists = append(lists, list)
		}
	}
	return merged{lists: lists}
}

// merged walks several lists that are sorted by rule as one. The lists are few, so that looking at each head is the fastest way.
type merged struct {
	lists [][]item
}

func (m *merged) next() (item, bool) {
	first := -1
	for i, list := range m.lists {
		if len(list) > 0 && (first < 0 || list[0].rule < m.lists[first][0].rule) {
			first = i
		}
	}
	if first < 0 {
		return item{}, false
	}
	head := m.lists[first][0]
	m.lists[first] = m.lists[first][1:]
	return head, true
}
