"""Groups sensor readings by k-means, and finds those that belong to no group.

    sensor_model.py TRAINING s3://bucket/output/readings s3://bucket/output/training --clusters 3
    sensor_model.py SCORING s3://bucket/output/newer s3://bucket/output/scoring --model s3://bucket/output/training/model

TRAINING makes a model, SCORING applies one. Both write a report with the within-set sum of squared errors (WSSSE; what
it is to be compared with is that of other numbers of clusters, or of the training) and the readings that are far from
every cluster. Runs on EMR Serverless (6.12 or newer) and on any Spark 3.5 or newer with NumPy; only --output-document
needs boto3, which EMR brings along.
"""

import argparse
import json
from typing import Any

import boto3
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.clustering import KMeans
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

FEATURES = ["temperature", "vibration", "pressure"]
_SEED = 20200214  # so that the same readings give the same model


def train(readings: DataFrame, clusters: int) -> PipelineModel:
    """Fit a model that scales the readings, since they are in different units, and clusters them."""
    assembler = VectorAssembler(inputCols=FEATURES, outputCol="values")
    scaler = StandardScaler(inputCol="values", outputCol="scaled", withMean=True)
    kmeans = KMeans(featuresCol="scaled", predictionCol="cluster", k=clusters, seed=_SEED)
    return Pipeline(stages=[assembler, scaler, kmeans]).fit(readings)


def score(model: PipelineModel, readings: DataFrame) -> DataFrame:
    """Add to each reading its cluster and the distance to the centre of it, in standard deviations."""
    _, scaler, kmeans = model.stages
    squares = f.lit(0.0)
    for position, feature in enumerate(FEATURES):
        mean, deviation = float(scaler.mean[position]), float(scaler.std[position]) or 1.0
        centres = [f.lit(float(centre[position])) for centre in kmeans.clusterCenters()]
        squares += f.pow((f.col(feature) - mean) / deviation - f.array(*centres)[f.col("cluster")], 2)
    scored = model.transform(readings).withColumn("distance", f.sqrt(squares))
    return scored.select(*readings.columns, "cluster", "distance")


def describe(scored: DataFrame, anomaly_distance: float) -> dict[str, Any]:
    """Sum up how well the clusters fit."""
    clusters = scored.groupBy("cluster").agg(
        f.count("*").alias("readings"),
        f.sum(f.pow("distance", f.lit(2))).alias("squares"),
        f.count_if(f.col("distance") > anomaly_distance).alias("anomalies"),
    )
    found = clusters.orderBy("cluster").collect()
    return {
        "readings": sum(row["readings"] for row in found),
        "clusterSizes": {str(row["cluster"]): row["readings"] for row in found},
        "wssse": sum(row["squares"] for row in found),
        "anomalies": sum(row["anomalies"] for row in found),
    }


def main() -> None:
    """Train or load the model, apply it, write what it says, and leave the report as a document when asked to."""
    arguments = parse_arguments()
    spark = SparkSession.builder.appName(f"sensor_model {arguments.mode}").getOrCreate()
    readings = spark.read.parquet(arguments.input).cache()
    report: dict[str, Any] = {"mode": arguments.mode}
    if arguments.mode == "TRAINING":
        model = train(readings, arguments.clusters)
        model_uri = f"{arguments.output}/model"
        model.write().overwrite().save(model_uri)
        report["trainingCost"] = model.stages[-1].summary.trainingCost
    else:
        model_uri = arguments.model
        model = PipelineModel.load(model_uri)
    scored = score(model, readings).cache()
    report |= {"modelUri": model_uri, **describe(scored, arguments.anomaly_distance)}
    anomalies = scored.where(f.col("distance") > arguments.anomaly_distance).orderBy(f.desc("distance"))
    anomalies.coalesce(1).write.csv(f"{arguments.output}/anomalies", mode="overwrite", header=True)
    text = json.dumps(report, indent=2)
    spark.range(1).select(f.lit(text)).coalesce(1).write.mode("overwrite").text(f"{arguments.output}/report")
    print(text)
    if arguments.output_document:
        leave_document(arguments.output_document, report)
    spark.stop()


def leave_document(uri: str, document: dict[str, Any]) -> None:
    """Write a JSON object to an s3:// address, where other jobs find it."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(document), ContentType="application/json")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["TRAINING", "SCORING"], help="make a model, or apply one")
    parser.add_argument("input", help="URI of the readings, as sensor_preprocess.py writes them")
    parser.add_argument("output", help="URI of the folder for report, anomalies and, when training, the model")
    parser.add_argument("--clusters", type=int, default=3, help="how many clusters a new model has")
    parser.add_argument("--model", help="URI of the model for SCORING")
    parser.add_argument("--anomaly-distance", type=float, default=3.0, help="how far from its centre is far")
    parser.add_argument("--output-document", help="URI of a JSON object in S3 that gets the report")
    arguments = parser.parse_args()
    if arguments.mode == "SCORING" and not arguments.model:
        parser.error("SCORING needs a --model: one of an earlier TRAINING")
    return arguments


if __name__ == "__main__":
    main()
