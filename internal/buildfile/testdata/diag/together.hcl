run "both" {
  command = ["x"]
  script  = "y"
}
run "neither" {
  command = null
  shell   = ["sh"]
}
run "cached" {
  command = ["x"]
  cache   = "locale"
}
fetch "sums" {
  url    = "https://a.example/x"
  sha256 = "aa"
  blake3 = "bb"
  strip  = 1
}
query "both" {
  registry = "go"
  url      = "https://a.example/"
}
query "none" {
  args = {}
}
query "url" {
  url   = "https://a.example/"
  items = page.jsn
  pin   = "ful"
  where = page.url != ""
}
query "pages" {
  url   = page.url
  items = { for m in page.json : m.id => { name = m.name } }
  next  = each.key
}
locals {
  p = page.json
}
run "items" {
  for_each = query.pages
  command  = [each.value.nam]
}
collate "report" {
  rows     = run.items
  evidence = "logs"
  formats  = ["html", "pdf"]
}
run "self" {
  for_each = self.out
  command  = [self.out.x, self.name]
  dir      = self.out
}
run "nothing" {
  command = [self.out]
}
write "text" {
  content = self.out
}
run "matrix" {
  command = ["x"]
  matrix  = 3
}
run "axes" {
  command = ["x"]
  matrix  = { for a in ["b", "a b"] : a => [1] }
}
run "more" {
  command = ["x"]
  matrix  = { a = run.axes }
  out     = 1e999999
}
run "computed" {
  command = [axis.b, matrix.d]
  matrix  = merge({ c = [1.5] }, { b = ["x", "y"] })
}
