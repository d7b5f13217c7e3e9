"""moto's server on a port of 127.0.0.1 that the system chooses."""
import logging
import os
import sys
import threading

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.WARNING)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()  # it ends with the test
