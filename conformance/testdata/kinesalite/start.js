// kinesalite on a port of 127.0.0.1: its own command line listens everywhere.
const server = require('kinesalite')({ createStreamMs: 20, deleteStreamMs: 20, updateStreamMs: 20, shardLimit: 50 })
server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port))
process.stdin.on('end', () => process.exit(0)).resume() // it ends with the test
