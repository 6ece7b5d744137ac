# Ends processes and removes the directory $1 when the last writer of standard input is gone, which is when the program that
# started this script has closed it or has died in whatever way. Lines on standard input: "start PID SIGNAL", a number, and "end PID".
trap '' HUP INT TERM

alive() {
	# A dead child of a killed program stays a zombie where process 1 does not reap.
	kill -0 "$1" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$1/status"
}

running='' # "PID:SIGNAL", newest first
while read -r word pid signal; do
	case $word in
	start) running="$pid:$signal $running" ;;
	end)
		others=''
		for entry in $running; do
			[ "${entry%:*}" = "$pid" ] || others="$others $entry"
		done
		running=$others
		;;
	esac
done

for entry in $running; do
	pid=${entry%:*}
	kill "-${entry#*:}" "$pid" 2>/dev/null
	patience=500 # of 20 ms
	while alive "$pid" && [ "$patience" -gt 0 ]; do
		sleep 0.02
		patience=$((patience - 1))
	done
	kill -s KILL "$pid" 2>/dev/null
done
# What a process has left behind may still be writing for a moment: initdb's own children do.
for _ in 1 2 3; do
	rm -rf "$1" && exit
	sleep 1
done
exit 1
