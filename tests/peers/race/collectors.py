"""The OpenTelemetry Collector in the pipelines that it is raced with, each as its documentation has it."""

import json
import socket

import peer
import rig

# What a reader of its metrics needs to tell arms apart.
ARM = ["gen_ai.request.model", "feature_flag.key", "feature_flag.result.variant"]
UNIT = "feature_flag.context.id"


def to_nothing(folder):
    return {"exporters": {"nop": {}}}, {"traces": (["otlp"], ["nop"])}


def spanmetrics(dimensions):
    """Into counters and a histogram of durations, which nobody asks for here. By default they are handed on each
    minute, which a round would not see: as often as Prometheus usually asks, instead."""

    def config(folder):
        named = [{"name": name} for name in dimensions]
        connector = {"dimensions": named, "metrics_flush_interval": "15s"}
        exporter = {"endpoint": f"127.0.0.1:{peer.free_port()}"}
        parts = {"connectors": {"span_metrics": connector}, "exporters": {"prometheus": exporter}}
        return parts, {"traces": (["otlp"], ["span_metrics"]), "metrics": (["span_metrics"], ["prometheus"])}

    return config


def queue(sink):
    """On disk before it is acknowledged, then to a receiver that drops it. A full queue makes the sender wait
    instead of refusing, because refusals cost CPU for spans that do not count."""

    def config(folder):
        (folder / "queue").mkdir()
        storage = {"directory": str(folder / "queue"), "fsync": True}
        sending = {"enabled": True, "storage": "file_storage", "block_on_overflow": True}
        exporter = {"endpoint": sink, "tls": {"insecure": True}, "compression": "none", "sending_queue": sending}
        parts = {"extensions": {"file_storage": storage}, "exporters": {"otlp_grpc": exporter}}
        return parts, {"traces": (["otlp"], ["otlp_grpc"])}

    return config


class Collector:
    """On the server's core."""

    def __init__(self, folder, parts):
        folder.mkdir(parents=True)
        parts, pipelines = parts(folder)
        port = peer.free_port()
        grpc = {"endpoint": f"127.0.0.1:{port}", "max_recv_msg_size_mib": 64}
        service = {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "extensions": list(parts.get("extensions", {})),
            "pipelines": {name: {"receivers": from_, "exporters": to} for name, (from_, to) in pipelines.items()},
        }
        config = {"receivers": {"otlp": {"protocols": {"grpc": grpc}}}, **parts, "service": service}
        path, self.told = folder / "config.json", folder / "collector.log"
        path.write_text(json.dumps(config))
        self.grpc = f"http://127.0.0.1:{port}"
        command = [peer.CACHE / "bin/otelcol-race", f"--config=file:{path}"]
        self.process = peer.start(rig.pinned(command, rig.SERVER_CPUS), self.told)
        self.pid = self.process.pid
        listens = lambda: socket.create_connection(("127.0.0.1", port)).close() is None
        peer.wait(listens, "the Collector", told=self.told.read_text)

    def stop(self):
        rig.stop(self)
