# What three versions of esbuild make of the most used packages of npm: every JavaScript file of each package
# is minified by each of them, and the report shows where what they write differs.
#
#   cbuild                              makes cbuild-out/report/index.html
#   cbuild                              runs nothing
#   cbuild 'minified[debug@*][*]'       tries one package only
#
# Take a line out of packages.txt, or add one: only what is new is asked for, downloaded and tried. A version
# of esbuild more is one download, and a run for each package.
cbuild {}

variable "esbuild" {
  type    = list(string)
  default = ["0.17.0", "0.25.0", "0.28.2"]
}

locals {
  # esbuild is one program, and npm has it in a package for each platform.
  platform = "@esbuild/${host.os}-${host.arch == "amd64" ? "x64" : host.arch}"
}

query "programs" {
  registry = "npm"
  args     = { packages = [for v in var.esbuild : "${local.platform}@${v}"] }
}

fetch "esbuild" {
  for_each = var.esbuild

  url       = query.programs["${local.platform}@${each.key}"].url
  integrity = query.programs["${local.platform}@${each.key}"].integrity
  unpack    = true
  strip     = 1
}

query "packages" {
  registry = "npm"
  args     = { packages = lines(file("packages.txt")), versions = "latest" }
}

fetch "package" {
  for_each = query.packages

  url       = each.value.url
  integrity = each.value.integrity
  unpack    = true
  strip     = 1 # nearly always "package", but some have another name for it
}

# Files that esbuild can't read are what this is about, too: then it fails, and the report says so.
run "minified" {
  for_each = fetch.package
  matrix   = { esbuild = fetch.esbuild }

  inputs = { src = each.value.out, esbuild = matrix.esbuild.out }
  dir    = "src"
  tools  = ["find", "sort", "xargs"]
  script = <<-SH
    mkdir -p ../min
    find . -name '*.js' -type f | LC_ALL=C sort | tr '\n' '\0' |
      xargs -0 -r ../esbuild/bin/esbuild --minify --outdir=../min --outbase=. --log-level=error
  SH
  out    = "min/"

  timeout       = "1m"
  allow_failure = true
}

collate "report" {
  title    = "What esbuild ${join(", ", var.esbuild)} make of the packages of npm"
  rows     = run.minified
  compare  = var.esbuild
  evidence = "out"
}
