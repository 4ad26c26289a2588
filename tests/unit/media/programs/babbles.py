import sys

sys.stdout.write('{"code": "SOMETHING_ELSE", "duration_s": "long"}' + "x" * (4 << 20))
