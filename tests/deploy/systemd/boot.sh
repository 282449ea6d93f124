# Runs systemd as process 1 of namespaces of its own, on what is in the folder $1; $2 names its cgroup. As root.
set -e
if [ "$3" != inside ]; then
  mount -t tmpfs tmpfs /run
  mkdir /run/cgroup
  mount -t cgroup2 cgroup2 /run/cgroup
  if [ "$3" = clear ]; then
    find "/run/cgroup/$2" -depth -type d -exec rmdir {} \;
    exit
  fi
  mkdir "/run/cgroup/$2"
  echo $$ >"/run/cgroup/$2/cgroup.procs"
  exec unshare --cgroup --pid --mount --uts --ipc --fork --kill-child sh "$0" "$1" "$2" inside
fi
umount /run/cgroup
mkdir /run/machine
mount --bind "$1" /run/machine
umount --recursive --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
mount --bind /run/machine/etc /etc
mount --bind /run/machine/bin /usr/local/bin
mount --bind /run/machine/units /usr/lib/systemd/system
mount --bind /run/machine/none /usr/lib/systemd/system-generators
mount --bind /run/machine/none /usr/lib/systemd/system-environment-generators
for folder in /tmp /var/tmp /var/lib /var/log /var/cache; do mount -t tmpfs tmpfs "$folder"; done
# As on a host, where what process 1 mounts for a service is to be seen in that service's own namespace.
mount --make-rshared /
exec env -i container=underpass PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=ready.service --show-status=no
