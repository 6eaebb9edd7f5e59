package report

import "text/template/parse"

// goOn is the name of the function that loops ask whether they may.
const goOn = "_goOn"

// question is what stands at the begin of each body: an assignment, as that shows nothing, also where something is escaped.
var question = func() parse.Node {
	trees, err := parse.Parse("", "{{$_ := "+goOn+"}}", "", "", map[string]any{goOn: goOn})
	if err != nil {
		panic(err)
	}
	return trees[""].Root.Nodes[0]
}()

// askBefore makes a template ask before it is executed, and at each turn of its loops: the language can't be ended otherwise.
func askBefore(t *parse.Tree) {
	if t == nil || t.Root == nil {
		return
	}
	askInLoops(t.Root)
	ask(t.Root)
}

func ask(body *parse.ListNode) {
	body.Nodes = append([]parse.Node{question.Copy()}, body.Nodes...)
}

func askInLoops(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.RangeNode:
			askInLoops(n.List)
			askInLoops(n.ElseList)
			ask(n.List)
		case *parse.IfNode:
			askInLoops(n.List)
			askInLoops(n.ElseList)
		case *parse.WithNode:
			askInLoops(n.List)
			askInLoops(n.ElseList)
		}
	}
}
