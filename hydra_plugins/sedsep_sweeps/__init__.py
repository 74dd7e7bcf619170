"""The sweeper and the launchers of sedsep, where Hydra looks for plugins; every start of Hydra imports them all."""
