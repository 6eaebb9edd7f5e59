# How much of the most used crates is unsafe? The sparse index of crates.io says what there is, each crate is
# downloaded and checked, and a small program counts.
#
#   cbuild                    makes cbuild-out/report/index.html
#   cbuild                    runs nothing
#   cbuild count[serde-*]     looks at one crate only
#
# To look at the thousand crates that are downloaded most, ask the dump of crates.io's database:
#
#   args = { census = true, top = 1000 }
cbuild {}

query "crates" {
  registry = "crates.io"
  args     = { crates = lines(file("crates.txt")), versions = "latest" }
}

fetch "source" {
  for_each = query.crates

  url    = each.value.url
  sha256 = each.value.sha256
  unpack = true
  strip  = each.key
}

run "count" {
  for_each = fetch.source

  inputs = { src = each.value.out, "facts.awk" = "facts.awk" }
  tools  = ["awk", "find", "sort", "xargs"]
  script = <<-SH
    find src -name '*.rs' -type f | LC_ALL=C sort | xargs awk -f facts.awk src/Cargo.toml > $out
  SH
  out    = "facts.json"
}

collate "report" {
  title = "What the most used crates are made of"
  rows  = run.count
  columns = {
    edition      = jsondecode(file(each.value.out)).edition
    dependencies = jsondecode(file(each.value.out)).dependencies
    lines        = jsondecode(file(each.value.out)).lines
    unsafe       = jsondecode(file(each.value.out)).unsafe
  }
}
