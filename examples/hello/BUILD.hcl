# Two small programs are compiled, linked and run side by side. What they print is joined
# with a plain data file into end_state.
run "compile" {
  for_each = ["hello", "world"]

  inputs  = ["${each.key}.c"]
  with    = glob("*.h")
  script  = "cc -MD -MF deps.d -c $in -o $out"
  depfile = "deps.d"
  tools   = ["cc"]
  out     = "${each.key}.o"
}

run "link" {
  for_each = run.compile

  command = ["cc", each.value.out, "-o", each.key]
  out     = each.key
}

run "stage" {
  for_each = run.link

  command = [each.value.out]
  stdout  = "${each.key}_stage"
}

run "end_state" {
  inputs  = ["inputs"]
  command = ["cat", run.stage["hello"].out, run.stage["world"].out, "inputs"]
  stdout  = "end_state"
}
