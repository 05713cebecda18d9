-- How each device did on each day, from the readings that sensor_preprocess.py has written.
--
--   --hivevar run=NAME --hivevar readings=s3://.../readings --hivevar report=s3://.../report --hivevar warehouse=s3://...
--
-- The table outlives the run: on AWS it is in the Glue Data Catalog, and each run adds its readings as a partition,
-- which stay where they are.
-- What is here means the same in Hive and in Spark SQL.

CREATE DATABASE IF NOT EXISTS emr_pipelines;

CREATE EXTERNAL TABLE IF NOT EXISTS emr_pipelines.sensor_readings (
  device STRING,
  recorded_at STRING,
  temperature DOUBLE,
  vibration DOUBLE,
  pressure DOUBLE
)
PARTITIONED BY (run STRING)
STORED AS PARQUET
LOCATION '${hivevar:warehouse}/sensor_readings';

ALTER TABLE emr_pipelines.sensor_readings
ADD IF NOT EXISTS PARTITION (run = '${hivevar:run}') LOCATION '${hivevar:readings}';

INSERT OVERWRITE DIRECTORY '${hivevar:report}'
ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
SELECT
  device,
  substr(recorded_at, 1, 10) AS recorded_on,
  count(*) AS readings,
  round(max(temperature), 1) AS maximum_temperature,
  round(avg(vibration), 3) AS average_vibration
FROM emr_pipelines.sensor_readings
WHERE run = '${hivevar:run}'
GROUP BY device, substr(recorded_at, 1, 10)
ORDER BY device, recorded_on;
