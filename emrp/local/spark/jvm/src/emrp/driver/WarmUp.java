package emrp.driver;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.config.Configurator;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SaveMode;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.functions;

/** A small job of the usual kind, after which the classes that jobs need are loaded and compiled. */
final class WarmUp {
  private static final int ROUNDS = 2; // the second finds most of what the first has had to load

  private WarmUp() {}

  static void run() throws IOException {
    new SparkConf(false).initializeLogIfNecessary(false); // else Spark sets the level again
    Level level = LogManager.getRootLogger().getLevel();
    Configurator.setRootLevel(Level.OFF); // the log is that of the job, which may have come already
    try {
      runJobs();
    } finally {
      Configurator.setRootLevel(level);
    }
  }

  private static void runJobs() throws IOException {
    Path folder = Files.createTempDirectory("warm-up");
    Path input = Files.write(folder.resolve("input.csv"), List.of("name,number", "a,1", "b,2", "a,3"));
    for (int round = 0; round < ROUNDS; round++) {
      SparkConf conf = new SparkConf(false).setMaster("local[*]").setAppName("warm-up").set("spark.ui.port", "0");
      try (SparkSession spark = SparkSession.builder().config(conf).getOrCreate()) {
        aggregate(spark, input.toUri().toString(), folder.toUri().toString());
      }
      SparkSession.clearActiveSession();
      SparkSession.clearDefaultSession();
    }
  }

  private static void aggregate(SparkSession spark, String input, String output) {
    Dataset<Row> rows = spark.read().option("header", "true").schema("name STRING, number INT").csv(input);
    Dataset<Row> totals =
        rows.groupBy("name")
            .agg(functions.max("number").alias("most"), functions.count("*").alias("count"))
            .orderBy(functions.desc("most"));
    totals.coalesce(1).write().mode(SaveMode.Overwrite).option("header", "true").csv(output + "csv");
    totals.write().mode(SaveMode.Overwrite).parquet(output + "parquet");
    spark.read().parquet(output + "parquet").count();
  }
}
