// A FIX client of QuickFIX's: it sends the rows of a file and prints what comes.
//
//   initiator FOLDER BEGIN_STRING USER PASSWORD FLOW PORT [PORT]
//
// With FIX_DICTIONARIES, the folder of QuickFIX's data dictionaries, it judges each message that comes by them, and
// rejects what they do not have: `sent 3` on stdout.
//
// A row of FLOW is `N name symbol side quantity price`, `R name original symbol side quantity price` or
// `C name original symbol side`.
// Commands on stdin: `send COUNT` sends the next rows, `skip COUNT` passes over them; `logout`, `quit`. Lines on stdout: `on`, `off`,
// `app NUMBER again type …` for a message of the application, `admin NUMBER again type` for one of the session,
// `sent type` for each that the session sends by itself.

#include <quickfix/Application.h>
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/ThreadedSocketInitiator.h>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sstream>
#include <thread>

namespace {

std::mutex printing;

void print(const std::string &line) {
    std::lock_guard<std::mutex> lock(printing);
    std::cout << line << std::endl;
}

std::string field(const FIX::FieldMap &map, int tag) {
    return map.isSetField(tag) ? map.getField(tag) : "-";
}

/// As FIX writes it: a blank inside of a value would be another word of the line.
std::string word(std::string text) {
    for (char &letter : text)
        if (letter == ' ') letter = '_';
    return text;
}

std::string head(const FIX::Message &message) {
    const auto &header = message.getHeader();
    const char *again = field(header, 43) == "Y" ? " again " : " first ";
    return field(header, 34) + again + field(header, 35);
}

class Client : public FIX::Application {
public:
    Client(std::string user, std::string password, bool is_old)
        : user(std::move(user)), password(std::move(password)), is_old(is_old) {}

    void onCreate(const FIX::SessionID &) override {}
    void onLogon(const FIX::SessionID &) override { print("on"); }
    void onLogout(const FIX::SessionID &) override { print("off"); }
    void toApp(FIX::Message &, const FIX::SessionID &) throw(FIX::DoNotSend) override {}

    void toAdmin(FIX::Message &message, const FIX::SessionID &) override {
        const std::string type = field(message.getHeader(), 35);
        if (type == "A" && is_old) {
            message.setField(95, std::to_string(password.size()));
            message.setField(96, password);
        } else if (type == "A") {
            message.setField(553, user);
            message.setField(554, password);
        }
        print("sent " + type);
    }

    void fromAdmin(const FIX::Message &message, const FIX::SessionID &) throw(
        FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::RejectLogon) override {
        print("admin " + head(message) + " " + word(field(message, 58)));
    }

    void fromApp(const FIX::Message &message, const FIX::SessionID &) throw(
        FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::UnsupportedMessageType) override {
        std::string line = "app " + head(message);
        // ClOrdID, OrigClOrdID, ExecType, OrdStatus, LastQty, LastPx, CumQty, LeavesQty, AvgPx, ExecID, Text.
        for (int tag : {11, 41, 150, 39, 32, 31, 14, 151, 6, 17, 58}) line += " " + word(field(message, tag));
        print(line);
    }

private:
    const std::string user, password;
    const bool is_old;
};

FIX::Message request(const std::string &row) {
    std::istringstream words(row);
    std::string kind, name, original, symbol, side, quantity, price;
    words >> kind >> name;
    FIX::Message message;
    message.getHeader().setField(35, kind == "N" ? "D" : kind == "R" ? "G" : "F");
    message.setField(11, name);
    if (kind != "N") {
        words >> original;
        message.setField(41, original);
    }
    words >> symbol >> side >> quantity >> price;
    message.setField(21, "1");
    message.setField(55, symbol);
    message.setField(54, side);
    FIX::TransactTime now;
    message.setField(now);
    if (kind != "C") {
        message.setField(38, quantity);
        message.setField(40, "2");
        message.setField(44, price);
        message.setField(59, "0");
    }
    return message;
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 7) return 2;
    const std::string folder = argv[1], begin = argv[2], user = argv[3], password = argv[4];
    std::stringstream text;
    text << "[DEFAULT]\nConnectionType=initiator\nReconnectInterval=1\nHeartBtInt=2\nStartTime=00:00:00\n"
         << "EndTime=00:00:00\nFileStorePath=" << folder << "\nLogonTimeout=10\n"
         << "SocketConnectHost=127.0.0.1\nSocketConnectPort=" << argv[6] << "\nSocketNodelay=Y\n";
    for (int more = 7; more < argc; ++more)
        text << "SocketConnectHost" << more - 6 << "=127.0.0.1\nSocketConnectPort" << more - 6 << "=" << argv[more] << "\n";
    if (begin == "FIXT.1.1") text << "DefaultApplVerID=9\n";
    const char *dictionaries = std::getenv("FIX_DICTIONARIES");
    text << "UseDataDictionary=" << (dictionaries ? "Y" : "N") << "\n";
    if (dictionaries && begin == "FIXT.1.1")
        text << "TransportDataDictionary=" << dictionaries << "/FIXT11.xml\nAppDataDictionary=" << dictionaries
             << "/FIX50SP2.xml\n";
    else if (dictionaries)
        text << "DataDictionary=" << dictionaries << (begin == "FIX.4.2" ? "/FIX42.xml\n" : "/FIX44.xml\n");
    text << "[SESSION]\nBeginString=" << begin << "\nSenderCompID=" << user << "\nTargetCompID=LOCKSTEP\n";
    try {
        FIX::SessionSettings settings(text);
        Client client(user, password, begin == "FIX.4.2");
        FIX::FileStoreFactory store(settings);
        FIX::ThreadedSocketInitiator initiator(client, store, settings);
        const FIX::SessionID id(begin, user, "LOCKSTEP");
        initiator.start();
        std::ifstream flow(argv[5]);
        std::string line, row;
        while (std::getline(std::cin, line)) {
            std::istringstream words(line);
            std::string command;
            long count = 0;
            words >> command >> count;
            if (command == "quit") break;
            if (command == "logout") FIX::Session::lookupSession(id)->logout();
            if (command != "send" && command != "skip") continue;
            for (; count > 0 && std::getline(flow, row); --count) {
                if (command == "skip") continue;
                FIX::Message message = request(row);
                // Without a connection it is stored, and sent when the other side asks for it.
                FIX::Session::sendToTarget(message, id);
                std::this_thread::sleep_for(std::chrono::microseconds(500));
            }
            print("done");
        }
        initiator.stop();
    } catch (std::exception &error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
    return 0;
}
