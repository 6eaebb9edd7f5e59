# Which small programs of Debian are hardened? The index of packages is read once; those that the filter
# names are downloaded, unpacked and looked at with readelf.
#
#   cbuild          makes cbuild-out/report/index.html
#   cbuild          runs nothing
#
# Make the filter narrower: nothing is asked, downloaded or run, only the report is written anew. Make it wider: only
# what is new is downloaded and run. `cbuild update packages` asks what the archive has today.
cbuild {}

variable "below" {
  description = "Packages of fewer bytes are looked at."
  type        = number
  default     = 19000
}

query "packages" {
  registry = "debian"
  args     = { suite = "bookworm", component = "main", arch = "amd64" }

  # What needs the C library has most likely been compiled.
  where = each.value.section == "utils" && each.value.size < var.below && can(regex("\\blibc6\\b", each.value.depends))
}

fetch "deb" {
  for_each = query.packages

  url    = each.value.url
  sha256 = each.value.sha256
  unpack = "deb"
}

run "hardening" {
  for_each = fetch.deb

  inputs  = { root = each.value.out, "harden.sh" = "harden.sh" }
  tools   = ["sh", "find", "grep", "od", "readelf", "sort", "tr"]
  command = ["sh", "harden.sh", "root"]
  stdout  = "hardening.csv"
}

collate "report" {
  title = "How the small programs of Debian are hardened"
  rows  = run.hardening
  columns = {
    files  = length(lines(each.value.text))
    relro  = length(regexall(",full,", each.value.text)) == length(lines(each.value.text)) ? "full" : "not all"
    nx     = can(regex("(?m),no,(yes|no),(yes|no)$", each.value.text)) ? "not all" : "yes"
    pie    = can(regex("(?m),no,(yes|no)$", each.value.text)) ? "not all" : "yes"
    canary = can(regex("(?m),no$", each.value.text)) ? "not all" : "yes"
  }
}
