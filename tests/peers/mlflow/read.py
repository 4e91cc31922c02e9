"""Everything that an MLflow server keeps, read by MLflow's own client: JSON on stdout. Arguments: the server's URL and
the ids of traces. User and password come from MLflow's own variables."""

import concurrent.futures
import json
import pathlib
import sys
import tempfile

import mlflow
from mlflow.entities import ViewType

mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()


def history(run_id, key):
    return [[point.timestamp, point.step, point.value] for point in client.get_metric_history(run_id, key)]


def files(run_id):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(client.download_artifacts(run_id, "", folder))
        return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def dataset(entry):
    kept = entry.dataset
    return {
        "name": kept.name,
        "digest": kept.digest,
        "source_type": kept.source_type,
        "source": kept.source,
        "profile": kept.profile,
        "tags": {tag.key: tag.value for tag in entry.tags},
    }


def run(found, pool):
    keys = sorted(found.data.metrics)
    points = pool.map(lambda key: history(found.info.run_id, key), keys)
    return {
        "id": found.info.run_id,
        "name": found.info.run_name,
        "status": found.info.status,
        "start_time": found.info.start_time,
        "end_time": found.info.end_time,
        "params": found.data.params,
        "tags": found.data.tags,
        "last": found.data.metrics,
        "metrics": dict(zip(keys, points)),
        "inputs": [dataset(entry) for entry in found.inputs.dataset_inputs],
        "outputs": [[model.model_id, model.step] for model in found.outputs.model_outputs],
        "files": files(found.info.run_id),
    }


def model(found):
    return {
        "id": found.model_id,
        "name": found.name,
        "type": found.model_type,
        "status": str(found.status),
        "run": found.source_run_id,
        "params": found.params,
        "tags": found.tags,
    }


def assessment(found):
    return {
        "id": found.assessment_id,
        "name": found.name,
        "source": [found.source.source_type, found.source.source_id],
        "value": found.feedback.value,
        "rationale": found.rationale,
        "metadata": found.metadata,
        "valid": found.valid,
    }


def experiment(found, pool):
    ids = [found.experiment_id]
    runs = client.search_runs(ids, order_by=["attributes.start_time ASC"])
    return {
        "id": found.experiment_id,
        "tags": found.tags,
        "runs": [run(client.get_run(one.info.run_id), pool) for one in runs],
        "models": [model(one) for one in client.search_logged_models(ids)],
    }


def trace(trace_id):
    return [assessment(one) for one in client.get_trace(trace_id).info.assessments]


with concurrent.futures.ThreadPoolExecutor(8) as threads:
    experiments = client.search_experiments(ViewType.ACTIVE_ONLY)
    kept = {
        "experiments": {one.name: experiment(one, threads) for one in experiments if one.name != "Default"},
        "traces": {one: trace(one) for one in sys.argv[2:]},
    }
json.dump(kept, sys.stdout)
