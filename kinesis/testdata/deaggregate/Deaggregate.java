import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import java.util.List;
import software.amazon.kinesis.retrieval.AggregatorUtil;
import software.amazon.kinesis.retrieval.KinesisClientRecord;

/**
 * De-aggregates Kinesis records with the Kinesis Client Library, as the worker of the shard they are
 * in: shard k of n has the k-th n-th of all hashes, and a record is in the shard its partition key
 * hashes to.
 *
 * <p>Argument: n. Input, a line each: partition key, tab, data, both in base64. Output: number of the
 * line, tab, partition key, tab, data.
 */
public class Deaggregate {
  public static void main(String[] args) throws Exception {
    BigInteger shards = new BigInteger(args[0]);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    AggregatorUtil util = new AggregatorUtil();
    int number = 0;
    for (String line = in.readLine(); line != null; line = in.readLine(), number++) {
      String[] fields = line.split("\t", -1);
      byte[] key = Base64.getDecoder().decode(fields[0]);
      BigInteger hash = new BigInteger(1, MessageDigest.getInstance("MD5").digest(key));
      BigInteger shard = hash.multiply(shards).shiftRight(128);
      KinesisClientRecord record =
          KinesisClientRecord.builder()
              .sequenceNumber(Integer.toString(number))
              .approximateArrivalTimestamp(Instant.EPOCH)
              .partitionKey(new String(key, StandardCharsets.UTF_8))
              .data(ByteBuffer.wrap(Base64.getDecoder().decode(fields[1])))
              .build();
      String first = firstHash(shard, shards).toString();
      String last = firstHash(shard.add(BigInteger.ONE), shards).subtract(BigInteger.ONE).toString();
      for (KinesisClientRecord user : util.deaggregate(List.of(record), first, last)) {
        byte[] data = new byte[user.data().remaining()];
        user.data().get(data);
        out.printf("%d\t%s\t%s%n", number, encode(user.partitionKey().getBytes(StandardCharsets.UTF_8)), encode(data));
      }
    }
    out.flush();
  }

  /** The smallest hash of a shard: shard * 2^128 / shards, rounded up. */
  private static BigInteger firstHash(BigInteger shard, BigInteger shards) {
    return shard.shiftLeft(128).add(shards).subtract(BigInteger.ONE).divide(shards);
  }

  private static String encode(byte[] b) {
    return Base64.getEncoder().encodeToString(b);
  }
}
