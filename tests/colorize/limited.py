"""Settings of a colorizer that has little memory left once its model is loaded."""

import dataclasses

from common import processes
from common.colorize import settings


@dataclasses.dataclass(frozen=True)
class Settings(settings.Settings):
    memory: int = 0  # bytes, beside what the loaded model takes

    def colorizer(self):
        colorizer = super().colorizer()
        processes.limit_memory(self.memory)
        return colorizer
