"""What this server has answered is still there after `kill -9`; only with `--data`.

ministack saves its state when it stops. Here every change goes to a journal before anybody hears of it:

    a change is noted (`installation`, `parts`, `under_way`) -> `Recorder.commit`, before each answer and soon after any
    change -> `Journal`; at the next start `replay` puts it on top of what ministack has saved, `interrupted` ends what
    was under way, ministack saves everything and a new journal begins.

The page cache is enough: it outlives the process, and only the process is killed.
"""

from emrp.local.durability.installation import install

__all__ = ["install"]
