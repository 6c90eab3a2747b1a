# Runs beside a cluster. Its standard input is a pipe that nobody but the cluster's maker holds: it ends when the maker
# closes it, and when the maker dies of whatever cause. Until then each line on it is the process id of the server, or 0
# while no server runs.
#
# When the input ends, the server that is left is stopped, and the folder $1 removed; an empty $1 removes nothing.

trap '' HUP INT TERM

server=0
while read -r line; do server=$line; done

# stop sends signal $1 and waits about $2 tenths of a second for the server to go.
stop() {
	kill -s "$1" "$server" 2>/dev/null || return 0
	tenths=0
	while kill -s 0 "$server" 2>/dev/null; do
		[ "$tenths" -lt "$2" ] || return 1
		tenths=$((tenths + 1))
		sleep 0.1
	done
}

if [ "$server" -gt 0 ]; then
	stop INT 100 || stop QUIT 50 || stop KILL 50
fi

# A server process that is on its way out may still put a file down while the folder is removed: hence more than once.
if [ -n "$1" ]; then
	rm -rf "$1" 2>/dev/null || { sleep 1 && rm -rf "$1" 2>/dev/null; } || { sleep 2 && rm -rf "$1"; }
fi
