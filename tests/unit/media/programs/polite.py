import json
import os
import sys

from services.media.inspecting.program import limit

limit(int(sys.argv[2]))
sys.stdout.write(json.dumps({"detail": f"niceness {os.nice(0)}"}))
