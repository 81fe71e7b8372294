"""What is tried of the lifecycle `live` on machines with a real systemd."""

OWN_TIMER_IS_OVER = """\
sudo bash -eu <<'END'
folder=/run/systemd/system/flatcar-rollback.timer.d
mkdir -p $folder
printf '[Timer]\\nOnBootSec=\\nOnBootSec=1us\\n' >$folder/over.conf
systemctl daemon-reload
systemctl restart flatcar-rollback.timer
until [ "$(systemctl show --property=SubState --value flatcar-rollback.timer)" = elapsed ]; do sleep 0.2; done
rm -r $folder
systemctl daemon-reload
END
"""
"""A command for a machine, which is changed live when it has been up for longer than it waits before it rolls back."""
