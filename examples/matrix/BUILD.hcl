# Every program is compiled under every standard of C, with and without optimization, and run. The report
# compares what the two builds of a program print: they should print the same.
#
#   cbuild                       makes cbuild-out/report/index.html
#   cbuild 'try[*][c11][fast]'   tries only those
#   cbuild log 'try[assert][c11][plain]'
cbuild {}

locals {
  programs = { for file in glob("programs/*.c") : trimsuffix(basename(file), ".c") => file }

  # Not every program is of every standard: c90 knows no arrays of variable length.
  without = { vla = ["c90"] }
}

run "compile" {
  for_each = local.programs
  matrix = {
    standard = ["c90", "c99", "c11"]
    level    = { plain = "-O0", fast = "-O2" }
  }
  where = !contains(lookup(local.without, each.key, []), matrix.standard)

  inputs  = [each.value]
  command = ["cc", "-std=${matrix.standard}", "-pedantic-errors", matrix.level, "-o", each.key, each.value]
  out     = each.key
}

# A program that fails is what this is about, so it is a result like any other.
run "try" {
  for_each = local.programs
  matrix = {
    standard = ["c90", "c99", "c11"]
    level    = { plain = "-O0", fast = "-O2" }
  }
  where = !contains(lookup(local.without, each.key, []), matrix.standard)

  command       = [run.compile[each.key][axis.standard][axis.level].out]
  stdout        = "printed.txt"
  allow_failure = true
}

collate "report" {
  title    = "What optimization changes"
  rows     = run.try
  compare  = ["plain", "fast"]
  evidence = "out"
}
