# Prints a line for each program and library of an unpacked Debian package: path, RELRO, NX, PIE, stack canary; as CSV.
#
#   harden.sh DIRECTORY
set -eu

find "$1" -type f | LC_ALL=C sort | while IFS= read -r file; do
	case $(od -An -c -N4 "$file" | tr -d ' \n') in
	'177ELF') ;;
	*) continue ;;
	esac
	headers=$(readelf --wide --file-header --program-headers --dynamic "$file" 2>/dev/null)
	symbols=$(readelf --wide --dyn-syms "$file" 2>/dev/null)

	relro=no
	case $headers in
	*GNU_RELRO*) relro=partial ;;
	esac
	case $relro,$headers in
	partial,*BIND_NOW* | partial,*'Flags: NOW'* | partial,*' NOW'*) relro=full ;;
	esac
	nx=no
	case $(printf '%s\n' "$headers" | grep GNU_STACK || :) in
	*RWE*) ;;
	*GNU_STACK*) nx=yes ;;
	esac
	pie=no
	case $headers in
	*'Type:'*DYN*) pie=yes ;;
	esac
	canary=no
	case $symbols in
	*__stack_chk_fail*) canary=yes ;;
	esac
	echo "${file#"$1"},$relro,$nx,$pie,$canary"
done
