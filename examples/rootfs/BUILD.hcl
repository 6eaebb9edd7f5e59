# A root file system made of Debian packages, and in it a C compiler that knows nothing of this machine: what it makes is the same on every one.
cbuild {}

variable "mirror" {
  description = "A mirror of Debian, as in https://deb.example/debian."
  env         = "DEBIAN_MIRROR"
}

variable "suite" { default = "bookworm" }

variable "packages" {
  type    = list(string)
  default = ["libc6", "libgcc-s1", "libc6-dev", "linux-libc-dev", "libcrypt-dev", "tcc"]
}

fetch "index" {
  url = "${var.mirror}/dists/${var.suite}/main/binary-amd64/Packages.xz"
}

# Where the packages are and what they should be, as JSON.
run "wanted" {
  env = {
    index = fetch.index.out
    names = join(" ", var.packages)
  }
  tools  = ["xz", "awk"]
  script = "xz -dc \"$index\" | awk -v names=\"$names\" -f wanted.awk"
  with   = ["wanted.awk"]
  stdout = "wanted.json"
}

fetch "package" {
  for_each = run.wanted.json

  url    = "${var.mirror}/${each.value.file}"
  sha256 = each.value.sha256
}

# Debian's links are absolute in places; in a tree they must not leave it.
run "root" {
  inputs = [for p in fetch.package : p.out]
  tools  = ["ar", "tar", "xz", "find", "ln", "mkdir", "rm"]
  script = <<-END
    mkdir $out
    for deb in $in; do
      ar p "$deb" data.tar.xz | tar -xJ -C $out
    done
    rm -rf $out/usr/share/doc $out/usr/share/man
    find $out -type l -lname '/*' | while read -r link; do
      ln -sfr "$out$(readlink "$link")" "$link"
    done
  END
  out    = "root/"
}

# From here on there is no program and no library but those of the packages.
run "compile" {
  system  = run.root.out
  inputs  = ["hello.c"]
  command = ["tcc", "-o", "hello", "hello.c"]
  out     = "hello"
}

run "greet" {
  system  = run.root.out
  command = [run.compile.out]
  stdout  = "greeting.txt"
}
