"""How volplug gets onto machines: the managed plugin, systemd units, Compose and Swarm examples."""
