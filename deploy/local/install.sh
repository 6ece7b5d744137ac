# Installs the Debian packages "$@" without starting a service, creating a database cluster or asking anything.
set -e
export DEBIAN_FRONTEND=noninteractive

exec 9</etc/apt # several programs may find the same server missing at the same time
flock 9

policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/strata.conf
made=''
trap 'rm -f $made' EXIT
if [ ! -e "$policy" ]; then
	made="$made $policy"
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
made="$made $no_cluster"
mkdir -p "${no_cluster%/*}"
echo 'create_main_cluster = false' >"$no_cluster"

apt-get update -qq
apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"

# Nor is Redis or Prometheus to start with the machine. An older Postgres, which may be in use, is left alone.
case " $* " in *' redis-server '*)
	[ ! -d /run/systemd/system ] || systemctl disable --quiet redis-server || true
	;;
esac
case " $* " in *' prometheus '*)
	[ ! -d /run/systemd/system ] || systemctl disable --quiet prometheus prometheus-redis-exporter || true
	;;
esac
